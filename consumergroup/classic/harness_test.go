package classic

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// harness drives one group with time of its own, and keeps what it wrote.
type harness struct {
	t       testing.TB
	config  Config
	g       *Group
	now     time.Time
	entries []*journal.GroupMetadata
	answers func(r kmsg.Response) // looks at each answer when it is given; nil: none
}

func newHarness(t testing.TB) *harness {
	h := &harness{t: t, now: time.UnixMilli(1_700_000_000_000)}
	ids := 0
	h.config = Config{
		MinSession: 6 * time.Second, MaxSession: 30 * time.Minute,
		UUID: func() string { ids++; return fmt.Sprint(ids) },
	}
	h.g = New("g", &h.config)
	return h
}

// answer is a call and what it was answered.
type answer struct {
	h   *harness
	got kmsg.Response // nil: it waits
}

// step runs one step and delivers its replies.
func (h *harness) step(do func(s *step.Step)) {
	h.t.Helper()
	s := &step.Step{Now: h.now}
	do(s)
	for _, e := range s.Entries {
		h.entries = append(h.entries, e.(*journal.GroupMetadata))
	}
	for _, r := range s.Replies {
		r.Call.Answer(r.Response)
	}
	check(h.t, h.g)
}

// call hands a request to the group.
func (h *harness) call(req kmsg.Request) *answer {
	h.t.Helper()
	a := &answer{h: h}
	c := &step.Call{Request: req, ClientID: "app", ClientHost: "/127.0.0.1", Answer: func(r kmsg.Response) {
		if a.got != nil {
			h.t.Fatalf("%T answered twice: %+v, then %+v", req, a.got, r)
		}
		a.got = r
		if h.answers != nil {
			h.answers(r)
		}
	}}
	h.step(func(s *step.Step) { dispatch(h.g, s, c) })
	return a
}

func dispatch(g *Group, s *step.Step, c *step.Call) {
	switch c.Request.(type) {
	case *kmsg.JoinGroupRequest:
		g.Join(s, c)
	case *kmsg.SyncGroupRequest:
		g.Sync(s, c)
	case *kmsg.HeartbeatRequest:
		g.Heartbeat(s, c)
	case *kmsg.LeaveGroupRequest:
		g.Leave(s, c)
	}
}

// pass lets time go by, with every tick that the group wants.
func (h *harness) pass(d time.Duration) {
	h.t.Helper()
	end := h.now.Add(d)
	for n := 0; ; n++ {
		at := h.g.Deadline()
		if at.IsZero() || at.After(end) {
			break
		}
		if n > 10_000 {
			h.t.Fatal("the group wants ticks without end")
		}
		if at.After(h.now) {
			h.now = at
		}
		h.step(h.g.Tick)
	}
	h.now = end
}

// joining is a join as tests write it: the zero value is that of a dynamic consumer that offers "range".
type joining struct {
	version   int16 // 0: 9; -1: 0
	group     string
	id        string
	instance  string
	kind      string // the protocol type
	offers    string // names, or name=metadata, best first
	session   time.Duration
	rebalance time.Duration
}

func (j joining) request() *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version = max(0, or(j.version, 9))
	req.Group, req.MemberID, req.ProtocolType = or(j.group, "g"), j.id, or(j.kind, "consumer")
	if j.group == "none" {
		req.Group = ""
	}
	if j.instance != "" {
		req.InstanceID = &j.instance
	}
	req.SessionTimeoutMillis = int32(or(j.session, 10*time.Second).Milliseconds())
	req.RebalanceTimeoutMillis = int32(or(j.rebalance, time.Minute).Milliseconds())
	for _, p := range strings.Fields(or(j.offers, "range")) {
		name, metadata, _ := strings.Cut(p, "=")
		if name == "none" {
			break
		}
		req.Protocols = append(req.Protocols, kmsg.JoinGroupRequestProtocol{Name: name, Metadata: []byte(metadata)})
	}
	return req
}

// or is v, or what it is instead of a zero value.
func or[T comparable](v, instead T) T {
	var zero T
	if v == zero {
		return instead
	}
	return v
}

// join joins; a new dynamic member comes back with the id that it is given.
func (h *harness) join(j joining) *answer {
	h.t.Helper()
	a := h.call(j.request())
	if r, ok := a.got.(*kmsg.JoinGroupResponse); ok && r.ErrorCode == kerr.MemberIDRequired.Code {
		j.id = r.MemberID
		return h.call(j.request())
	}
	return a
}

// joined is the answer to a join, which must have one.
func (a *answer) joined() *kmsg.JoinGroupResponse {
	a.h.t.Helper()
	r, ok := a.got.(*kmsg.JoinGroupResponse)
	if !ok || r.ErrorCode != 0 {
		a.h.t.Fatalf("joined: got %+v", a.got)
	}
	return r
}

// code is the error code of an answer: -2 while it waits.
func (a *answer) code() int16 {
	switch r := a.got.(type) {
	case *kmsg.JoinGroupResponse:
		return r.ErrorCode
	case *kmsg.SyncGroupResponse:
		return r.ErrorCode
	case *kmsg.HeartbeatResponse:
		return r.ErrorCode
	case *kmsg.LeaveGroupResponse:
		return r.ErrorCode
	}
	return -2
}

// want checks the code; nil: it waits.
func (a *answer) want(err error) {
	a.h.t.Helper()
	want := int16(-2)
	if err != nil {
		want = step.Code(err)
	}
	if got := a.code(); got != want {
		a.h.t.Fatalf("answered %d (%v), want %d (%v)", got, kerr.ErrorForCode(got), want, err)
	}
}

// syncing is a sync as tests write it.
func syncing(id string, generation int32, assign ...string) *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version, req.Group, req.MemberID, req.Generation = 5, "g", id, generation
	req.ProtocolType, req.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	for _, a := range assign {
		member, assignment, _ := strings.Cut(a, "=")
		req.GroupAssignment = append(req.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: member, MemberAssignment: []byte(assignment)})
	}
	return req
}

func beat(id string, generation int32) *kmsg.HeartbeatRequest {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.Generation = 4, "g", id, generation
	return req
}

// leaving is a request of members, each an id or, after a "/", an instance id too.
func leaving(version int16, members ...string) *kmsg.LeaveGroupRequest {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version, req.Group = version, "g"
	if version < 3 {
		req.MemberID = members[0]
		return req
	}
	for _, m := range members {
		id, instance, static := strings.Cut(m, "/")
		member := kmsg.NewLeaveGroupRequestMember()
		member.MemberID = id
		if static {
			member.InstanceID = &instance
		}
		req.Members = append(req.Members, member)
	}
	return req
}

// stable makes a group of n members that have synced, the first leading.
func (h *harness) stable(members ...joining) (ids []string) {
	h.t.Helper()
	answers := make([]*answer, len(members))
	answers[0] = h.join(members[0])
	for i, j := range members[1:] {
		answers[i+1] = h.join(j)
	}
	for h.g.state == preparing { // those that were in a generation already join again
		for i, a := range answers {
			if r, ok := a.got.(*kmsg.JoinGroupResponse); ok && h.g.state == preparing {
				again := members[i]
				again.id = r.MemberID
				answers[i] = h.join(again)
			}
		}
	}
	assign := []string{}
	for _, a := range answers {
		ids = append(ids, a.joined().MemberID)
		assign = append(assign, a.joined().MemberID+"=of-"+a.joined().MemberID)
	}
	leader := answers[0].joined().LeaderID
	for _, id := range ids {
		if id != leader {
			h.sync(id)
		}
	}
	h.call(h.synced(leader, assign...)).want(errNone)
	if h.g.State() != "Stable" {
		h.t.Fatalf("the group is %s", h.g.State())
	}
	return ids
}

// errNone is code 0.
var errNone = &kerr.Error{Code: 0}

// synced is a sync in the current generation and protocol.
func (h *harness) synced(id string, assign ...string) *kmsg.SyncGroupRequest {
	req := syncing(id, h.g.Generation(), assign...)
	req.ProtocolType, req.Protocol = kmsg.StringPtr(h.g.ProtocolType()), kmsg.StringPtr(h.g.Protocol())
	return req
}

func (h *harness) sync(id string, assign ...string) *answer {
	h.t.Helper()
	return h.call(h.synced(id, assign...))
}

func (h *harness) beat(id string) *answer {
	h.t.Helper()
	return h.call(beat(id, h.g.Generation()))
}
