package consumer

import (
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/quirelog/quire/consumergroup/classic"
	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// cluster is topics that a test changes; every change is a new version.
type cluster struct {
	topics  map[string]Topic
	version uint64
	made    byte
}

// set makes a topic, grows it, or with 0 partitions deletes it.
func (c *cluster) set(name string, partitions int) {
	topics := maps.Clone(c.topics)
	if topics == nil {
		topics = map[string]Topic{}
	}
	topic, ok := topics[name]
	if !ok {
		c.made++
		topic = Topic{ID: [16]byte{0xff, c.made}, Name: name}
	}
	topic.Partitions = partitions
	if topics[name] = topic; partitions == 0 {
		delete(topics, name)
	}
	c.topics = topics
	c.version++
}

func (c *cluster) Topic(name string) (Topic, bool) { t, ok := c.topics[name]; return t, ok }
func (c *cluster) All() iter.Seq[Topic]            { return maps.Values(c.topics) }
func (c *cluster) Version() uint64                 { return c.version }
func (c *cluster) ByID(id [16]byte) (Topic, bool) {
	for _, t := range c.topics {
		if t.ID == id {
			return t, true
		}
	}
	return Topic{}, false
}

// world is one group with all that is around it.
type world struct {
	t      testing.TB
	g      *Group         // nil: the group is a classic one
	old    *classic.Group // nil: it is one of the new protocol
	cfg    *Config
	topics *cluster
	now    time.Time
	log    []record        // everything that was ever written
	last   []journal.Entry // what the last step wrote, through its encoding
	shadow *Group          // what the journal makes of it

	upgrades, downgrades int
}

// record is an entry with the key that it has in the journal.
type record struct {
	key   string
	entry journal.Entry
}

func newWorld(t testing.TB, topics map[string]int) *world {
	ids := 0
	cfg := &Config{
		Timing: Timing{Session: 45 * time.Second, Heartbeat: 5 * time.Second},
		Classic: &classic.Config{MinSession: time.Second, MaxSession: time.Hour, UUID: func() string {
			ids++
			return fmt.Sprint("id", ids)
		}},
	}
	w := &world{t: t, cfg: cfg, topics: &cluster{}, now: time.UnixMilli(1_700_000_000_000), g: New("g", cfg), shadow: New("g", cfg)}
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		w.topics.set(name, topics[name])
	}
	return w
}

// step runs one step of the group, as the coordinator does, and keeps what it wrote.
func (w *world) step(do func(s *step.Step)) []step.Reply {
	w.t.Helper()
	s := &step.Step{Now: w.now}
	do(s)
	if w.g != nil {
		if w.old = w.g.Downgrade(s, w.topics); w.old != nil {
			w.g = nil
			w.downgrades++
		}
	}
	w.last = nil
	for _, e := range s.Entries {
		key, value, err := journal.Encode(e)
		if err != nil {
			w.t.Fatalf("encode %#v: %v", e, err)
		}
		read, err := journal.Decode(key, value)
		if err != nil {
			w.t.Fatalf("decode %#v: %v", e, err)
		}
		w.last = append(w.last, read)
		w.log = append(w.log, record{string(key), read})
		w.shadow.Apply(read)
	}
	g := w.g
	if g == nil {
		g = New("g", w.cfg)
	}
	if got, want := persistent(w.shadow), persistent(g); !reflect.DeepEqual(got, want) {
		w.t.Fatalf("the journal has\n%+v\nand the group\n%+v", got, want)
	}
	return s.Replies
}

// send hands a request to the group, whichever kind it is, as the coordinator does.
func (w *world) send(s *step.Step, c *step.Call) {
	switch c.Request.(type) {
	case *kmsg.ConsumerGroupHeartbeatRequest:
		if w.g != nil {
			w.g.Heartbeat(s, c, w.topics)
		} else if g := Upgrade(s, c, w.old, w.cfg, w.topics); g != nil {
			w.upgrades++
			w.g, w.old = g, nil
		}
		return
	case *kmsg.JoinGroupRequest:
		if w.g != nil && w.g.Empty() {
			w.g.Tombstones(s)
			w.g, w.old = nil, classic.New("g", w.cfg.Classic)
		}
	}
	if w.g != nil {
		switch c.Request.(type) {
		case *kmsg.JoinGroupRequest:
			w.g.Join(s, c, w.topics)
		case *kmsg.SyncGroupRequest:
			w.g.Sync(s, c, w.topics)
		case *kmsg.HeartbeatRequest:
			w.g.ClassicHeartbeat(s, c, w.topics)
		case *kmsg.LeaveGroupRequest:
			w.g.Leave(s, c, w.topics)
		}
		return
	}
	switch c.Request.(type) {
	case *kmsg.JoinGroupRequest:
		w.old.Join(s, c)
	case *kmsg.SyncGroupRequest:
		w.old.Sync(s, c)
	case *kmsg.HeartbeatRequest:
		w.old.Heartbeat(s, c)
	case *kmsg.LeaveGroupRequest:
		w.old.Leave(s, c)
	}
}

// call has the group answer one request at once.
func (w *world) call(r kmsg.Request) kmsg.Response {
	w.t.Helper()
	c := &step.Call{Request: r, ClientID: "client", ClientHost: "/127.0.0.1"}
	replies := w.step(func(s *step.Step) { w.send(s, c) })
	if len(replies) != 1 || replies[0].Call != c {
		w.t.Fatalf("%d replies to one request", len(replies))
	}
	return replies[0].Response
}

func (w *world) heartbeat(r *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
	w.t.Helper()
	return w.call(r).(*kmsg.ConsumerGroupHeartbeatResponse)
}

// ok is a heartbeat that must pass.
func (w *world) ok(r *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
	w.t.Helper()
	resp := w.heartbeat(r)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		w.t.Fatalf("heartbeat of %s: %v (%s)", r.MemberID, err, *resp.ErrorMessage)
	}
	return resp
}

// reply hands late replies to who waits for them.
func (w *world) reply(replies []step.Reply) {
	for _, r := range replies {
		if r.Call.Answer != nil {
			r.Call.Answer(r.Response)
		}
	}
}

// tick lets time pass.
func (w *world) tick(d time.Duration) {
	w.t.Helper()
	w.now = w.now.Add(d)
	w.reply(w.step(func(s *step.Step) {
		if w.g != nil {
			w.g.Tick(s, w.topics)
		} else {
			w.old.Tick(s)
		}
	}))
}

// restart moves the group to another coordinator, which reads the journal: the whole, or what compaction has left of it.
func (w *world) restart(compacted bool) {
	w.t.Helper()
	newest := map[string]int{}
	for i, r := range w.log {
		newest[r.key] = i
	}
	g, shadow := w.g, New("g", w.cfg)
	var old *journal.GroupMetadata
	w.g, w.old = New("g", w.cfg), nil
	for i, r := range w.log {
		if compacted && newest[r.key] != i {
			continue
		}
		if e, ok := r.entry.(*journal.GroupMetadata); ok {
			old = e
		}
		w.g.Apply(r.entry)
		shadow.Apply(r.entry)
	}
	w.shadow = shadow
	if g == nil {
		g = New("g", w.cfg)
		if w.g, w.old = nil, classic.New("g", w.cfg.Classic); old != nil && old.Value != nil {
			w.old = classic.Restore(old, w.cfg.Classic, w.now)
		}
	} else {
		w.g.Loaded(w.now)
	}
	if after, before := persistent(shadow), persistent(g); !reflect.DeepEqual(after, before) {
		w.t.Fatalf("loading (compacted: %v) has made\n%+v\nof\n%+v", compacted, after, before)
	}
}

// kept is the state of a group that the journal keeps.
type kept struct {
	Epoch, TargetEpoch                             int32
	Hash, TargetTime                               int64
	Members                                        map[string]keptMember
	Targets                                        map[string][]partition
	Resolved                                       map[string][]string
	Instances                                      map[string]string
	Owners                                         map[partition]string
	Names, Matched, Patterns, Assignors, Protocols map[string]int
	Classics                                       int
}

type keptMember struct {
	Desc    journal.MemberValue
	Current current
}

// persistent is what g keeps in the journal; empty lists and none are the same.
func persistent(g *Group) kept {
	k := kept{g.epoch, g.targetEpoch, g.hash, g.targetTime, map[string]keptMember{}, map[string][]partition{}, map[string][]string{}, g.instances, g.owners,
		g.names, g.matched, g.patterns, g.assignors, g.protocols, g.classics}
	for id, m := range g.members {
		c, d := m.current, *m.desc
		c.assigned, c.revoking, d.Topics = slices.Concat(c.assigned), slices.Concat(c.revoking), slices.Concat(d.Topics)
		k.Members[id] = keptMember{d, c}
	}
	for id, target := range g.targets {
		k.Targets[id] = slices.Concat(target)
	}
	for x, topics := range g.resolved {
		k.Resolved[x] = slices.Concat(topics)
	}
	return k
}

// kinds are the types of what the last step wrote, in order; tombstones have a minus.
func (w *world) kinds() []string {
	var out []string
	for _, e := range w.last {
		v := reflect.ValueOf(e).Elem()
		kind := v.Type().Name()
		if f := v.FieldByName("Value"); f.IsValid() && f.IsNil() || !f.IsValid() {
			kind = "-" + kind
		}
		if m := v.FieldByName("Member"); m.IsValid() {
			kind += " " + m.String()
		}
		out = append(out, kind)
	}
	return out
}

// join is a first heartbeat.
func join(id string, topics ...string) *kmsg.ConsumerGroupHeartbeatRequest {
	r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	r.Version, r.Group, r.MemberID, r.RebalanceTimeoutMillis = 1, "g", id, 60_000
	r.SubscribedTopicNames, r.Topics = append([]string{}, topics...), []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	return r
}

// beat is a heartbeat that says nothing new.
func beat(id string, epoch int32) *kmsg.ConsumerGroupHeartbeatRequest {
	r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	r.Version, r.Group, r.MemberID, r.MemberEpoch = 1, "g", id, epoch
	return r
}

// owning is a heartbeat that reports what the member owns.
func owning(id string, epoch int32, owned ...kmsg.ConsumerGroupHeartbeatRequestTopic) *kmsg.ConsumerGroupHeartbeatRequest {
	r := beat(id, epoch)
	r.Topics = append([]kmsg.ConsumerGroupHeartbeatRequestTopic{}, owned...)
	return r
}

func of(topic Topic, partitions ...int32) kmsg.ConsumerGroupHeartbeatRequestTopic {
	r := kmsg.NewConsumerGroupHeartbeatRequestTopic()
	r.TopicID, r.Partitions = topic.ID, partitions
	return r
}

// given is what a response assigns, "-" where it does not say.
func (w *world) given(resp *kmsg.ConsumerGroupHeartbeatResponse) string {
	if resp.Assignment == nil {
		return "-"
	}
	out := ""
	for _, t := range resp.Assignment.Topics {
		topic, _ := w.topics.ByID(t.TopicID)
		out += fmt.Sprintf("%s%v", topic.Name, t.Partitions)
	}
	return out
}
