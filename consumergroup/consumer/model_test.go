package consumer

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var modelSeed = flag.Uint64("model.seed", 0, "run the model with this seed alone")

// model is a group with faithful clients of both protocols: they revoke before they say so, and own only what they were given.
type model struct {
	*world
	rng     *rand.Rand
	clients []*client
	made    int
	epochs  map[string]int32 // of the group and its target: they never go back
	did     []string

	classics    int  // of a hundred new clients this many speak the classic protocol
	cooperative bool // and assign cooperatively
}

// client is one consumer.
type client struct {
	id, instance string
	epoch        int32
	names        []string
	regex        string
	owned        map[partition]bool
	told         []partition // what it is to own; nil: it does
	classic      bool        // speaks the classic protocol, see classic_model_test.go
	cooperative  bool        // a classic client that keeps what it owns over a rebalance
	generation   int32       // of a classic client
	doing        string      // what a classic client does next: join, sync or beat
	late         bool        // its classic group went on without it
	waiting      *step.Call  // the call of a classic client that is under way
	full         bool        // the next request says everything, since an answer was lost or the subscription is new
	reported     bool        // the group knows what it owns
}

func TestModel(t *testing.T) {
	seeds := []uint64{*modelSeed}
	if *modelSeed == 0 {
		seeds = []uint64{1, 2, 3, 4, 5, 6, 5381025312974248259, rand.Uint64()}
	}
	upgrades, downgrades := 0, 0
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			w := runModel(t, seed)
			upgrades, downgrades = upgrades+w.upgrades, downgrades+w.downgrades
		})
		if t.Failed() {
			return
		}
	}
	if *modelSeed == 0 && (upgrades == 0 || downgrades == 0) {
		t.Errorf("%d upgrades and %d downgrades: the model does not try what it is for", upgrades, downgrades)
	}
}

func runModel(t *testing.T, seed uint64) *world {
	m := &model{world: newWorld(t, map[string]int{"a1": 3, "a2": 2, "b1": 4}), rng: rand.New(rand.NewPCG(seed, 1)), epochs: map[string]int32{}}
	m.cooperative = m.rng.IntN(2) == 0
	defer func() {
		if t.Failed() {
			for _, line := range m.did[max(0, len(m.did)-100):] {
				t.Log(line)
			}
		}
	}()
	for n := range 500 {
		if n%40 == 0 {
			m.classics = []int{0, 50, 100}[m.rng.IntN(3)]
		}
		m.act()
		m.check()
	}
	m.settle()
	return m.world
}

func (m *model) note(format string, args ...any) { m.did = append(m.did, fmt.Sprintf(format, args...)) }

// act does one thing that happens in the life of a group.
func (m *model) act() {
	switch n := m.rng.IntN(100); {
	case n < 8 && len(m.clients) < 8:
		m.spawn()
	case n < 10:
		m.restartGroup()
	case n < 14:
		m.alterTopics()
	case len(m.clients) == 0:
	case n < 17:
		m.leave(m.pick())
	case n < 19:
		m.kill(m.pick(), "crashes")
	case n < 24:
		c := m.pick()
		c.subscribe(m.rng)
		c.full = true // a classic one joins again
		m.note("%s subscribes to %v %q", c.id, c.names, c.regex)
	case n < 40:
		m.pick().obey(m)
	case n < 44:
		m.note("time passes")
		m.tick(time.Duration(m.rng.IntN(15)) * time.Second)
	default:
		m.tick(time.Duration(m.rng.IntN(2000)) * time.Millisecond)
		m.beat(m.pick(), m.rng.IntN(10) == 0)
	}
}

func (m *model) pick() *client { return m.clients[m.rng.IntN(len(m.clients))] }

func (m *model) spawn() {
	m.made++
	c := &client{id: fmt.Sprint("m", m.made), owned: map[partition]bool{}, generation: -1, doing: "join", cooperative: m.cooperative}
	c.classic = m.rng.IntN(100) < m.classics
	if m.rng.IntN(3) == 0 {
		c.instance = fmt.Sprint("i", m.rng.IntN(3))
		for _, other := range m.clients {
			if other.instance == c.instance {
				c.instance = ""
			}
		}
	}
	c.subscribe(m.rng)
	m.clients = append(m.clients, c)
	m.note("%s (instance %q) starts", c.id, c.instance)
}

func (c *client) subscribe(rng *rand.Rand) {
	c.names, c.regex = nil, ""
	for _, name := range []string{"a1", "a2", "b1", "b2"} {
		if rng.IntN(2) == 0 {
			c.names = append(c.names, name)
		}
	}
	if rng.IntN(4) == 0 {
		c.regex = []string{"a.*", ".1", "b2|a1"}[rng.IntN(3)]
	}
}

func (m *model) restartGroup() {
	m.note("coordinator restarts")
	if m.old != nil {
		s := &step.Step{Now: m.now}
		m.old.Fail(s, kerr.NotCoordinator)
		defer m.reply(s.Replies)
	}
	m.restart(m.rng.IntN(2) == 0)
}

func (m *model) alterTopics() {
	name := []string{"a1", "a2", "b1", "b2"}[m.rng.IntN(4)]
	topic, ok := m.topics.Topic(name)
	switch {
	case ok && m.rng.IntN(3) == 0:
		m.topics.set(name, 0)
	case topic.Partitions < 8:
		m.topics.set(name, topic.Partitions+1)
	}
	m.note("topic %s changes", name)
}

func (m *model) leave(c *client) {
	if c.classic {
		m.leaveClassic(c)
		return
	}
	r := beat(c.id, -1)
	if c.instance != "" {
		r.InstanceID = kmsg.StringPtr(c.instance)
		if m.rng.IntN(2) == 0 {
			r.MemberEpoch = -2
		}
	}
	m.note("%s leaves (%d)", c.id, r.MemberEpoch)
	m.reply(m.step(func(s *step.Step) { m.send(s, &step.Call{Request: r}) }))
	m.kill(c, "ends")
}

func (m *model) kill(c *client, how string) {
	m.note("%s %s", c.id, how)
	m.clients = slices.DeleteFunc(m.clients, func(o *client) bool { return o == c })
}

// obey makes a client own what it was told to.
func (c *client) obey(m *model) {
	if c.told == nil {
		return
	}
	c.owned = map[partition]bool{}
	for _, p := range c.told {
		c.owned[p] = true
	}
	c.told, c.reported = nil, false
	m.note("%s owns %s", c.id, m.show(c.owned))
}

func (m *model) show(owned map[partition]bool) string {
	out := ""
	for _, p := range slices.SortedFunc(maps.Keys(owned), comparePartitions) {
		topic, _ := m.topics.ByID(p.topic)
		out += fmt.Sprintf("%s-%d ", topic.Name, p.id)
	}
	return out
}

// beat sends a client's heartbeat; lost: the client does not get the answer.
func (m *model) beat(c *client, lost bool) {
	if c.classic {
		m.classicStep(c, lost)
		return
	}
	if c.full {
		c.obey(m) // what it says to own must stay true while the request is under way
	}
	r := beat(c.id, c.epoch)
	if c.epoch == 0 || c.full {
		r = join(c.id, c.names...)
		r.MemberEpoch, r.SubscribedTopicRegex, r.RebalanceTimeoutMillis = c.epoch, kmsg.StringPtr(c.regex), 30_000
	}
	if c.instance != "" {
		r.InstanceID = kmsg.StringPtr(c.instance)
	}
	if c.epoch != 0 && (c.full || !c.reported && c.told == nil) {
		r.Topics = c.owning()
	}
	call, resp := &step.Call{Request: r, ClientID: "client", ClientHost: "/127.0.0.1"}, (*kmsg.ConsumerGroupHeartbeatResponse)(nil)
	call.Answer = func(r kmsg.Response) { resp = r.(*kmsg.ConsumerGroupHeartbeatResponse) }
	m.reply(m.step(func(s *step.Step) { m.send(s, call) }))
	m.note("%s beats in epoch %d: epoch %d, %s, error %d, lost %v, group %s", c.id, c.epoch, resp.MemberEpoch, m.given(resp), resp.ErrorCode, lost, m.state())
	if lost {
		c.full = true
		return
	}
	switch err := kerr.ErrorForCode(resp.ErrorCode); err {
	case nil:
		c.epoch, c.full, c.reported = resp.MemberEpoch, false, r.Topics != nil || c.reported
		if resp.Assignment != nil {
			c.told = told(resp)
		}
	case kerr.FencedMemberEpoch, kerr.UnknownMemberID, kerr.GroupIDNotFound:
		c.epoch, c.owned, c.told, c.full = 0, map[partition]bool{}, nil, true
	case kerr.UnreleasedInstanceID, kerr.FencedInstanceID:
		m.kill(c, err.Error())
	default:
		m.t.Fatalf("%s: %v", c.id, err)
	}
}

func told(resp *kmsg.ConsumerGroupHeartbeatResponse) []partition {
	list := []partition{}
	for _, t := range resp.Assignment.Topics {
		for _, p := range t.Partitions {
			list = append(list, partition{t.TopicID, p})
		}
	}
	return list
}

func (c *client) owning() []kmsg.ConsumerGroupHeartbeatRequestTopic {
	out := []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	for topic, ids := range byTopic(slices.SortedFunc(maps.Keys(c.owned), comparePartitions)) {
		out = append(out, of(Topic{ID: topic}, ids...))
	}
	return out
}

func (m *model) state() string {
	if m.g == nil {
		return "classic " + m.old.State()
	}
	return m.g.State()
}

func (m *model) member(id string) bool {
	if m.g != nil {
		return m.g.members[id] != nil
	}
	_, ok := m.old.Member(id)
	return ok
}

// check is what must hold at every moment.
func (m *model) check() {
	m.t.Helper()
	if m.g != nil {
		m.checkGroup()
	} else {
		clear(m.epochs) // a classic group counts anew when it was empty
	}
	owners := map[partition]string{}
	for _, c := range m.clients {
		if m.g == nil && c.classic && len(c.owned) > 0 && c.generation != m.old.Generation() {
			c.late = true
		}
		if !m.member(c.id) || c.late {
			continue // fenced, or did not join in time: it will hear of it
		}
		for p := range c.owned {
			if _, exists := m.topics.ByID(p.topic); !exists {
				continue // classic clients cannot tell it from one of the same name
			}
			if other, taken := owners[p]; taken {
				m.t.Fatalf("%s and %s own %v", other, c.id, p)
			}
			if owners[p] = c.id; m.g != nil && m.g.owners[p] != c.id {
				m.t.Fatalf("%s owns %v, which the group knows of %q", c.id, p, m.g.owners[p])
			}
		}
	}
}

func (m *model) checkGroup() {
	m.t.Helper()
	owners := map[partition]string{}
	for _, id := range m.g.sortedIDs() {
		for _, p := range m.g.members[id].has() {
			if other, taken := owners[p]; taken {
				m.t.Fatalf("the group gave %v to %s and to %s", p, other, id)
			}
			owners[p] = id
		}
	}
	if !maps.Equal(owners, m.g.owners) {
		m.t.Fatalf("owners are %v, by members %v", m.g.owners, owners)
	}
	for name, epoch := range map[string]int32{"group": m.g.epoch, "target": m.g.targetEpoch} {
		if epoch < m.epochs[name] {
			m.t.Fatalf("epoch of the %s went back from %d to %d", name, m.epochs[name], epoch)
		}
		m.epochs[name] = epoch
	}
	for id, c := range m.g.members {
		if c.epoch > m.g.targetEpoch || m.g.targetEpoch > m.g.epoch {
			m.t.Fatalf("epochs: group %d, target %d, member %s %d", m.g.epoch, m.g.targetEpoch, id, c.epoch)
		}
	}
	if !m.g.Empty() && m.g.Deadline().IsZero() {
		m.t.Fatal("members without a timer")
	}
}

// settle lets everybody do what it should until nothing changes: then each topic that somebody reads is read whole, by what the target says.
func (m *model) settle() {
	for _, c := range m.clients {
		c.full = true // real classic clients look after the topics themselves, and join again
	}
	for round := 0; ; round++ {
		for _, c := range slices.Clone(m.clients) {
			m.beat(c, false)
			c.obey(m)
			m.check()
		}
		m.tick(5 * time.Second)
		if len(m.clients) == 0 {
			return
		}
		busy := func(c *client) bool { return c.classic && (c.waiting != nil || c.doing != "beat") }
		if state := m.state(); strings.HasSuffix(state, "Stable") && round > 30 && !slices.ContainsFunc(m.clients, busy) {
			break
		}
		if round > 100 {
			m.t.Fatalf("after %d rounds the group is %s: %+v", round, m.state(), m.g)
		}
	}
	m.checkRead()
}

// checkRead is what must hold in the end.
func (m *model) checkRead() {
	read, wanted := map[partition]bool{}, map[string]bool{}
	for _, c := range m.clients {
		if !m.member(c.id) {
			m.t.Fatalf("%s is alive and no member", c.id)
		}
		for p := range c.owned {
			read[p] = true
		}
		for topic := range m.topics.All() {
			if slices.Contains(c.names, topic.Name) || !c.classic && c.regex != "" && slices.Contains(match(c.regex, m.topics), topic.Name) {
				wanted[topic.Name] = true
			}
		}
	}
	for topic := range m.topics.All() {
		for p := range int32(topic.Partitions) {
			if want := wanted[topic.Name]; read[partition{topic.ID, p}] != want {
				m.t.Fatalf("%s-%d is read: %v, subscribed to: %v, group %s", topic.Name, p, !want, want, m.state())
			}
		}
	}
}
