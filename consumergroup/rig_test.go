package consumergroup

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quirelog/quire/consumergroup/consumer"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/quirelog/quire/segment/batch"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var errInjected = errors.New("injected")

// memoryLog is a journal partition in memory. What the append hook says comes before it is stored.
type memoryLog struct {
	mu      sync.Mutex
	batches [][]byte
	end     int64
	appends int
	// before is asked with the append's number, from 1: how long it takes, whether the batch is stored, and what is answered.
	before func(n int) (takes time.Duration, store bool, err error)
	reads  func() error
	// deposed says that another broker may lead.
	deposed atomic.Bool
}

func (l *memoryLog) Leads() bool { return !l.deposed.Load() }

func (l *memoryLog) Append(ctx context.Context, b []byte) error {
	l.mu.Lock()
	l.appends++
	n, before := l.appends, l.before
	l.mu.Unlock()
	takes, store, err := time.Duration(0), true, error(nil)
	if before != nil {
		takes, store, err = before(n)
	}
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if store {
		l.put(b)
	}
	return err
}

// fault sets what appends do from now on.
func (l *memoryLog) fault(before func(n int) (takes time.Duration, store bool, err error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before = before
}

func (l *memoryLog) put(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h, err := batch.Validate(b)
	if err != nil {
		panic(err)
	}
	batch.Stamp(b, batch.Offset(l.end), 1)
	l.batches = append(l.batches, b)
	l.end += int64(h.NumRecords)
}

func (l *memoryLog) Read(_ context.Context, from int64, maxBytes int) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reads != nil {
		if err := l.reads(); err != nil {
			return nil, err
		}
	}
	at, _ := slices.BinarySearchFunc(l.batches, from, func(b []byte, from int64) int {
		h, err := batch.ParseHeader(b)
		if err != nil {
			panic(err)
		}
		if int64(h.Next()) <= from {
			return -1
		}
		return 1
	})
	var out []byte
	for _, b := range l.batches[at:] {
		if len(out) > 0 && len(out)+len(b) > maxBytes {
			break
		}
		out = append(out, b...)
	}
	return out, nil
}

// fakeTopics is a cluster's topics.
type fakeTopics map[string]consumer.Topic

func (f fakeTopics) Topic(name string) (consumer.Topic, bool) { t, ok := f[name]; return t, ok }
func (f fakeTopics) All() iter.Seq[consumer.Topic]            { return maps.Values(f) }
func (f fakeTopics) Version() uint64                          { return 1 }
func (f fakeTopics) ByID(id [16]byte) (consumer.Topic, bool) {
	for _, t := range f {
		if t.ID == id {
			return t, true
		}
	}
	return consumer.Topic{}, false
}

func topic(name string, id byte, partitions int) consumer.Topic {
	return consumer.Topic{ID: [16]byte{id}, Name: name, Partitions: partitions}
}

// rig is a coordinator over journal partitions in memory, in a bubble with time of its own.
type rig struct {
	t      *testing.T
	c      *Coordinator
	logs   []*memoryLog
	topics atomic.Pointer[fakeTopics]
	// assignment is what a lone member of a classic group gives itself; nil: "all".
	assignment []byte
}

func options(partitions int) Options {
	o := Options{Partitions: partitions, RetentionCheck: time.Minute}
	o.Classic.MinSession, o.Classic.MaxSession = 6*time.Second, 30*time.Minute
	o.Consumer.Session, o.Consumer.Heartbeat = 45*time.Second, 5*time.Second
	return o
}

// inBubble runs test with a coordinator that leads all its partitions, and checks that none of its goroutines is left.
func inBubble(t *testing.T, o Options, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t}
		r.setTopics(topic("orders", 1, 8), topic("payments", 2, 2))
		o.Topics = r.topicsNow
		r.c = New(o)
		for i := range o.Partitions {
			r.logs = append(r.logs, &memoryLog{})
			r.c.Lead(int32(i), r.logs[i])
		}
		defer func() {
			if err := r.c.Close(context.Background()); err != nil {
				t.Error(err)
			}
			if n, bytes := r.c.groups.Load(), r.c.bytes.Load(); n != 0 || bytes != 0 {
				t.Errorf("%d groups of %d bytes are counted when nothing is led", n, bytes)
			}
		}()
		synctest.Wait()
		test(t, r)
	})
}

// asked is a call and what it was answered.
type asked struct {
	t     testing.TB
	req   kmsg.Request
	mu    sync.Mutex
	got   kmsg.Response
	times int
}

func (a *asked) answer(r kmsg.Response) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got = r
	if a.times++; a.times > 1 {
		a.t.Errorf("%T was answered %d times", a.req, a.times)
	}
	if r.Key() != a.req.Key() || r.GetVersion() != a.req.GetVersion() {
		a.t.Errorf("%T at %d was answered with %T at %d", a.req, a.req.GetVersion(), r, r.GetVersion())
	}
}

func (a *asked) response() kmsg.Response {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.got
}

// start hands in a request.
func (r *rig) start(req kmsg.Request) *asked {
	a := &asked{t: r.t, req: req}
	r.c.Handle(&step.Call{Request: req, ClientID: "app", ClientHost: "/127.0.0.1", Answer: a.answer})
	return a
}

// ask hands in a request and gives its answer, which must come without time passing.
func (r *rig) ask(req kmsg.Request) kmsg.Response {
	r.t.Helper()
	a := r.start(req)
	synctest.Wait()
	got := a.response()
	if got == nil {
		r.t.Fatalf("no answer to %+v", req)
	}
	got.AppendTo(nil) // encodes
	return got
}

// commit is a commit from outside a group.
func commit(group, topic string, partition int32, offset int64) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group = 8, group
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	return req
}

func commitCode(r kmsg.Response) int16 {
	return r.(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode
}

// fetchAllOf asks for all offsets of groups.
func fetchAllOf(groups ...string) *kmsg.OffsetFetchRequest {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version = 8
	for _, id := range groups {
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = id
		req.Groups = append(req.Groups, g)
	}
	return req
}

// committed is what one group has committed, as its clients see it.
func (r *rig) committed(group string) map[string]map[int32]int64 {
	r.t.Helper()
	g := r.ask(fetchAllOf(group)).(*kmsg.OffsetFetchResponse).Groups[0]
	if g.ErrorCode != 0 {
		r.t.Fatalf("offsets of %s: code %d", group, g.ErrorCode)
	}
	all := map[string]map[int32]int64{}
	for _, t := range g.Topics {
		all[t.Topic] = map[int32]int64{}
		for _, p := range t.Partitions {
			all[t.Topic][p.Partition] = p.Offset
		}
	}
	return all
}

// join is a consumer that joins a classic group.
func join(group, member string) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.MemberID, req.ProtocolType = 9, group, member, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 10_000, 60_000
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Topics = []string{"orders"}
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: meta.AppendTo(nil)}}
	return req
}

// member makes a lone member of a group: its id and generation.
func (r *rig) member(group string) (string, int32) {
	r.t.Helper()
	id := r.ask(join(group, "")).(*kmsg.JoinGroupResponse).MemberID
	joined := r.ask(join(group, id)).(*kmsg.JoinGroupResponse)
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Version, sync.Group, sync.MemberID, sync.Generation = 5, group, id, joined.Generation
	sync.ProtocolType, sync.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	all := r.assignment
	if all == nil {
		all = []byte("all")
	}
	sync.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: id, MemberAssignment: all}}
	if got := r.ask(sync).(*kmsg.SyncGroupResponse); got.ErrorCode != 0 || !bytes.Equal(got.MemberAssignment, all) {
		r.t.Fatalf("sync: %+v", got)
	}
	return id, joined.Generation
}

func heartbeat(group, member string, generation int32) *kmsg.HeartbeatRequest {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.Generation = 4, group, member, generation
	return req
}

// pass lets time go by.
func (r *rig) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func stepCall(r *rig, req kmsg.Request) *step.Call {
	return &step.Call{Request: req, Answer: (&asked{t: r.t, req: req}).answer}
}

func (r *rig) topicsNow() consumer.Topics { return *r.topics.Load() }

func (r *rig) setTopics(all ...consumer.Topic) {
	f := fakeTopics{}
	for _, t := range all {
		f[t.Name] = t
	}
	r.topics.Store(&f)
}
