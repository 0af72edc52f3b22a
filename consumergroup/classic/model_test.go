package classic

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// client is a consumer as real ones are written: it joins until it is in a generation, syncs, and then sends heartbeats.
type client struct {
	joining          // its id is kept there
	generation int32 // 0: it has to join
	leader     []string
	owns       bool    // it has synced
	call       *answer // under way; nil: none
}

// world is some clients and a coordinator.
type world struct {
	*harness
	rng       *rand.Rand
	clients   []*client
	calls     []*answer
	last      int32            // generation; one that was not written may come again after a restart
	protocols map[int32]string // of each generation since
}

func TestRandomGroups(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	for i := range 40 {
		t.Run(fmt.Sprintf("seed %d", seed+uint64(i)), func(t *testing.T) { randomGroup(t, seed+uint64(i)) })
	}
}

func randomGroup(t *testing.T, seed uint64) {
	w := &world{harness: newHarness(t), rng: rand.New(rand.NewPCG(seed, 1))}
	w.config.InitialDelay = time.Duration(w.rng.IntN(3)) * time.Second
	if w.rng.IntN(4) == 0 {
		w.config.MaxSize = 4
	}
	w.answers = w.check
	w.restarted()
	for i := range 1 + w.rng.IntN(8) {
		w.clients = append(w.clients, w.newClient(i))
	}
	for range 400 {
		w.chaos()
	}
	w.settle()
	// Now all are gone: the last call is answered, and nothing is left.
	w.pass(2 * newMemberTimeout)
	for _, a := range w.calls {
		if a.got == nil {
			t.Fatal("a call was never answered")
		}
	}
	if !w.g.Empty() || len(w.g.pending) > 0 || !w.g.Deadline().IsZero() {
		t.Fatalf("%s with %d members at the end, deadline %v", w.g.State(), w.g.Members(), w.g.Deadline())
	}
}

func (w *world) newClient(i int) *client {
	c := &client{joining: joining{
		version: []int16{-1, 1, 3, 4, 5, 9, 9, 9}[w.rng.IntN(8)], offers: []string{"range", "range sticky", "sticky range"}[w.rng.IntN(3)],
		session: time.Duration(6+w.rng.IntN(20)) * time.Second, rebalance: time.Duration(5+w.rng.IntN(60)) * time.Second,
	}}
	if c.version >= 5 && w.rng.IntN(2) == 0 {
		c.instance = fmt.Sprint("i", i/2) // some are configured alike
	}
	return c
}

// restarted forgets what a coordinator keeps in memory alone.
func (w *world) restarted() {
	w.protocols, w.last = map[int32]string{}, w.g.Generation()
}

// chaos is one thing that happens.
func (w *world) chaos() {
	c := w.clients[w.rng.IntN(len(w.clients))]
	switch n := w.rng.IntN(100); {
	case n < 60:
		w.proceed(c)
	case n < 75:
		w.pass(time.Duration(w.rng.IntN(4000)) * time.Millisecond)
	case n < 80: // its process dies and is started again
		c.id, c.generation, c.owns, c.call = "", 0, false, nil
	case n < 84:
		w.leave(c)
	case n < 88: // it gives its call up, or joins for no reason
		c.call, c.generation = nil, 0
	case n < 92:
		c.offers = []string{"range", "range sticky", "sticky range", "range=new"}[w.rng.IntN(4)]
		c.generation = 0
	case n < 94: // an old request comes once more
		w.send(syncing(c.id, c.generation-1, c.id+"=never"))
	case n < 97:
		w.commit(c)
	default:
		w.step(func(s *step.Step) { w.g.Fail(s, kerr.NotCoordinator) })
		w.g = w.reload()
		w.restarted()
	}
}

// send hands over a request and looks at the group afterwards.
func (w *world) send(req kmsg.Request) *answer {
	a := w.harness.call(req)
	w.calls = append(w.calls, a)
	if w.g.Generation() < w.last {
		w.t.Fatalf("generation %d after %d", w.g.Generation(), w.last)
	}
	w.last = w.g.Generation()
	return a
}

func (w *world) leave(c *client) {
	if c.version >= 3 {
		w.send(leaving(5, c.id))
	} else {
		w.send(leaving(0, c.id))
	}
	c.id, c.generation, c.owns, c.call = "", 0, false, nil
}

// commit checks that a member that owns partitions in the current generation may commit.
func (w *world) commit(c *client) {
	var instance *string
	if c.instance != "" {
		instance = &c.instance
	}
	w.step(func(s *step.Step) {
		err := w.g.CheckCommit(s, c.id, instance, c.generation)
		m, member := w.g.Member(c.id)
		if may := member && c.generation == w.g.Generation() && w.g.State() != "CompletingRebalance"; may != (err == nil) && c.generation > 0 {
			w.t.Fatalf("a commit of %+v (%+v) in %s: %v", c, m, w.g.State(), err)
		}
	})
}

// proceed lets a client do what it does next.
func (w *world) proceed(c *client) {
	if c.call != nil {
		if c.call.got == nil {
			return
		}
		got := c.call.got
		c.call = nil
		w.answered(c, got)
		return
	}
	switch {
	case c.generation == 0:
		c.call = w.send(c.request())
	case !c.owns:
		assign := []string{}
		for _, id := range c.leader {
			assign = append(assign, fmt.Sprintf("%s=%d:%s", id, c.generation, id))
		}
		req := syncing(c.id, c.generation, assign...)
		req.Version, req.ProtocolType, req.Protocol = 4, nil, nil
		c.call = w.send(req)
	default:
		c.call = w.send(beat(c.id, c.generation))
	}
}

// answered is how clients take answers.
func (w *world) answered(c *client, got kmsg.Response) {
	switch r := got.(type) {
	case *kmsg.JoinGroupResponse:
		if c.id = r.MemberID; r.ErrorCode == 0 {
			c.generation, c.owns, c.leader = r.Generation, false, nil
			for i := range r.Members {
				if !r.SkipAssignment {
					c.leader = append(c.leader, r.Members[i].MemberID)
				}
			}
			return
		}
	case *kmsg.SyncGroupResponse:
		if r.ErrorCode == 0 {
			c.owns = c.generation > 0
			return
		}
	}
	switch code := (&answer{got: got}).code(); code {
	case 0:
	case kerr.UnknownMemberID.Code, kerr.FencedInstanceID.Code, kerr.GroupMaxSizeReached.Code:
		c.id, c.generation, c.owns = "", 0, false
	case kerr.RebalanceInProgress.Code, kerr.IllegalGeneration.Code, kerr.NotCoordinator.Code, kerr.MemberIDRequired.Code, kerr.InconsistentGroupProtocol.Code:
		c.generation, c.owns = 0, false
	default:
		w.t.Fatalf("%T: %v", got, kerr.ErrorForCode(code))
	}
}

// check looks at an answer, when it is given: it agrees with the group, and with what others of the generation are told.
func (w *world) check(got kmsg.Response) {
	switch r := got.(type) {
	case *kmsg.SyncGroupResponse:
		of, _, _ := strings.Cut(string(r.MemberAssignment), ":")
		if r.ErrorCode == 0 && len(r.MemberAssignment) > 0 && of != fmt.Sprint(w.g.Generation()) {
			w.t.Fatalf("in generation %d %q was assigned", w.g.Generation(), r.MemberAssignment)
		}
	case *kmsg.JoinGroupResponse:
		if r.ErrorCode == 0 {
			w.checkJoined(r)
		}
	}
}

func (w *world) checkJoined(r *kmsg.JoinGroupResponse) {
	if _, there := w.g.Member(r.MemberID); !there || r.Generation != w.g.Generation() || *r.Protocol != w.g.Protocol() {
		w.t.Fatalf("joined %+v: member %v, generation %d, %q", r, there, w.g.Generation(), w.g.Protocol())
	}
	if protocol, ok := w.protocols[r.Generation]; ok && protocol != *r.Protocol {
		w.t.Fatalf("generation %d has %q and %q", r.Generation, protocol, *r.Protocol)
	}
	w.protocols[r.Generation] = *r.Protocol
	leads := r.MemberID == w.g.leader.ID
	if (len(r.Members) > 0) != (leads && (w.g.State() == "CompletingRebalance" || r.SkipAssignment)) || leads && len(r.Members) == 0 && r.LeaderID == r.MemberID {
		w.t.Fatalf("joined %+v, led by %s", r, w.g.leader.ID)
	}
	seen := map[string]bool{}
	for _, m := range r.Members {
		if _, there := w.g.Member(m.MemberID); !there || m.InstanceID != nil && seen["/"+*m.InstanceID] || seen[m.MemberID] {
			w.t.Fatalf("%s is among the members %+v", m.MemberID, r.Members)
		}
		seen[m.MemberID] = true
		if m.InstanceID != nil {
			seen["/"+*m.InstanceID] = true
		}
	}
	if len(r.Members) > 0 && len(r.Members) != w.g.Members() {
		w.t.Fatalf("%d of %d members", len(r.Members), w.g.Members())
	}
}

// settle lets clients that behave find a generation that all of them own, and keep it.
func (w *world) settle() {
	instances := map[string]bool{}
	kept := w.clients[:0]
	for _, c := range w.clients {
		if c.instance == "" || !instances[c.instance] {
			instances[c.instance] = true
			c.offers = "range sticky"
			kept = append(kept, c)
		}
	}
	w.clients = kept
	w.config.MaxSize = 0
	for range 200 {
		for _, c := range w.clients {
			w.proceed(c)
			w.proceed(c)
		}
		w.pass(500 * time.Millisecond)
	}
	for _, c := range w.clients {
		if c.generation != w.g.Generation() || !c.owns || w.g.State() != "Stable" || w.g.Members() != len(w.clients) {
			w.t.Fatalf("%+v in the end; the group of %d is %s in %d", c, w.g.Members(), w.g.State(), w.g.Generation())
		}
	}
}
