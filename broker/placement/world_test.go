package placement

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/replication/controller"
	"github.com/quirelog/quire/segment"
)

// world is a cluster without Raft, disks and network: what the Keepers of all its brokers see and do. Its clock stands still
// but for pass.
type world struct {
	t       *testing.T
	keepers map[int32]*Keeper

	mu      sync.Mutex // guards what follows
	now     time.Time
	image   *controller.Image
	changed chan struct{} // closed and replaced at each change of anything
	alive   map[int32]bool
	groups  map[ID]*model
	fenced  map[Replica]string
	leads   int32 // the broker that leads the controller
	fail    error // what every change returns instead of happening
	log     []string
}

// model is a group: who is in it, and what each has of its log.
type model struct {
	leader           ServerID // "": nobody
	voters, learners []ServerID
	end              segment.Index
	match            map[ServerID]segment.Index // from the first look on of a server that joined
	moved            []ServerID                 // leaders, in their order
}

var errNoMajority = errors.New("no majority")

func newWorld(t *testing.T, nodes []Node) *world {
	w := &world{
		t: t, keepers: map[int32]*Keeper{}, now: time.Unix(1e9, 0), image: newImage(nodes), changed: make(chan struct{}), alive: map[int32]bool{},
		groups: map[ID]*model{}, fenced: map[Replica]string{}, leads: -1,
	}
	for _, n := range nodes {
		w.alive[n.ID] = true
		w.start(n.ID)
	}
	return w
}

// start makes a broker's Keeper, for the incarnation that is registered.
func (w *world) start(broker int32) {
	v := &worldView{w, ServerOf(w.image.Brokers[broker])}
	w.keepers[broker] = New(Options{
		Self: v.self, Groups: v, Controller: controllerView{v}, Peers: v, Internal: func(topic string) bool { return topic == "__i" },
		Now: func() time.Time {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.now
		},
	})
}

// topic makes partitions, led by the first replica of each, with a log of ten entries.
func (w *world) topic(name string, parts ...controller.Partition) *controller.Topic {
	t := addTopic(w.image, name, parts...)
	for n, p := range parts {
		m := &model{end: 10, match: map[ServerID]segment.Index{}}
		for _, id := range p.Replicas {
			s := ServerOf(w.image.Brokers[id])
			m.voters = append(m.voters, s)
			m.match[s] = m.end
		}
		m.leader = m.voters[0]
		w.groups[ID{Topic: t.ID, Partition: int32(n)}] = m
	}
	return t
}

// server names a broker as it is registered now.
func (w *world) server(broker int32) ServerID { return ServerOf(w.image.Brokers[broker]) }

func (w *world) servers(brokers ...int32) []ServerID {
	var ids []ServerID
	for _, b := range brokers {
		ids = append(ids, w.server(b))
	}
	return ids
}

// look lets a broker's Keeper look once, and waits until what it started is done.
func (w *world) look(broker int32) {
	if !w.alive[broker] {
		return
	}
	k := w.keepers[broker]
	k.look(context.Background())
	for len(k.busy) > 0 || k.growing {
		k.settle(<-k.done)
	}
}

// pass lets time go by: live, unfenced members catch up with their leader.
func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
	for id, m := range w.groups {
		if m.leader == "" || !w.hasMajority(id, m.voters) {
			continue
		}
		m.end++
		for _, s := range slices.Concat(m.voters, m.learners) {
			if w.sound(s, id) {
				m.match[s] = m.end
			}
		}
	}
}

// elect gives every group a leader that can have one, and takes it from those that cannot. The voter with the longest log leads.
func (w *world) elect() {
	for id, m := range w.groups {
		if slices.Contains(m.voters, m.leader) && w.sound(m.leader, id) && w.hasMajority(id, m.voters) {
			continue
		}
		if m.leader = ""; !w.hasMajority(id, m.voters) {
			continue
		}
		for _, s := range m.voters {
			if w.sound(s, id) && (m.leader == "" || m.match[s] > m.match[m.leader]) {
				m.leader = s
			}
		}
	}
}

// sound servers run, with an intact replica.
func (w *world) sound(s ServerID, id ID) bool {
	broker, _ := BrokerOf(s)
	return w.alive[broker] && ServerOf(w.image.Brokers[broker]) == s && w.fenced[Replica{s, id}] == ""
}

func (w *world) hasMajority(id ID, voters []ServerID) bool {
	n := 0
	for _, s := range voters {
		if w.sound(s, id) {
			n++
		}
	}
	return n > len(voters)/2
}

// reassign is what the controller does for it.
func reassign(p controller.Partition, target []int32) controller.Partition {
	before := p.Before
	if !reassigning(&p) {
		before = p.Replicas
	}
	not := func(list []int32) func(int32) bool { return func(id int32) bool { return slices.Contains(list, id) } }
	removing := slices.DeleteFunc(slices.Clone(p.Replicas), not(target))
	return controller.Partition{
		Replicas: slices.Concat(target, removing), Target: target, Removing: removing, Before: before,
		Adding: slices.DeleteFunc(slices.Clone(target), not(before)),
	}
}

func (w *world) reassign(id ID, target ...int32) { w.put(id, reassign(w.partition(id), target)) }

func (w *world) partition(id ID) controller.Partition {
	return w.image.TopicsByID[id.Topic].Partitions[id.Partition]
}

// put makes the next image: Keepers may be reading this one.
func (w *world) put(id ID, p controller.Partition) {
	image, t := *w.image, *w.image.TopicsByID[id.Topic]
	t.Partitions = slices.Clone(t.Partitions)
	t.Partitions[id.Partition] = p
	image.Topics, image.TopicsByID = maps.Clone(image.Topics), maps.Clone(image.TopicsByID)
	image.Topics[t.Name], image.TopicsByID[t.ID] = &t, &t
	w.image = &image
}

// replace gives a broker an empty directory: nobody has what it had.
func (w *world) replace(broker int32, incarnation string) {
	w.register(broker, incarnation)
	w.start(broker)
}

func (w *world) register(broker int32, incarnation string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	image, b := *w.image, w.image.Brokers[broker]
	maps.DeleteFunc(w.fenced, func(r Replica, _ string) bool { return r.Server == ServerOf(b) })
	b.Incarnation = incarnation
	image.Brokers = maps.Clone(image.Brokers)
	image.Brokers[broker] = b
	w.image = &image
}

// worldView is the world as one server sees and changes it.
type worldView struct {
	w    *world
	self ServerID
}

func (v *worldView) Get(id ID) Group {
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	if v.w.groups[id] == nil {
		return nil
	}
	return &modelView{v, id}
}

func (v *worldView) Each(f func(ID, Group) bool) {
	for id := range v.w.groups {
		if !f(id, &modelView{v, id}) {
			return
		}
	}
}

func (v *worldView) Changed() <-chan struct{} {
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	return v.w.changed
}

func (v *worldView) Reset(_ context.Context, id ID, reason string) error {
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	m := v.w.groups[id]
	if slices.Contains(m.voters, v.self) || slices.Contains(m.learners, v.self) {
		v.w.t.Errorf("%s is reset while it is a member", v.self)
	}
	if v.w.fenced[Replica{v.self, id}] != reason {
		return ErrNotFenced
	}
	delete(v.w.fenced, Replica{v.self, id})
	v.w.log = append(v.w.log, fmt.Sprint("reset ", v.self))
	return nil
}

// controllerView is the controller as one server sees it: Changed is of images there.
type controllerView struct{ *worldView }

func (v controllerView) Changed(*controller.Image) <-chan struct{} { return v.worldView.Changed() }

func (v controllerView) Image() *controller.Image {
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	return v.w.image
}

func (v controllerView) Leads() bool {
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	broker, _ := BrokerOf(v.self)
	return v.w.leads == broker
}

func (v controllerView) Reassign(_ context.Context, moves []Move) ([]error, error) {
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	for _, m := range moves {
		v.w.reassign(ID{Topic: m.Topic, Partition: m.Partition}, m.Replicas...)
	}
	return make([]error, len(moves)), v.w.fail
}

func (v controllerView) CompleteReassignment(_ context.Context, topic controller.TopicID, n int32, target []int32) error {
	id := ID{Topic: topic, Partition: n}
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	p := v.w.partition(id)
	if !slices.Equal(p.Target, target) {
		return fmt.Errorf("the target is %v, not %v", p.Target, target)
	}
	for _, s := range slices.Concat(v.w.groups[id].voters, v.w.groups[id].learners) {
		if broker, _ := BrokerOf(s); !slices.Contains(target, broker) {
			v.w.t.Errorf("complete, and yet %s is a member", s)
		}
	}
	v.w.put(id, on(target...))
	for r := range v.w.fenced { // who has no replica any longer deletes what it has
		if broker, _ := BrokerOf(r.Server); r.Partition == id && !slices.Contains(target, broker) {
			delete(v.w.fenced, r)
		}
	}
	v.w.log = append(v.w.log, fmt.Sprint("complete ", target))
	return nil
}

func (v controllerView) Transfer(context.Context, int32) error {
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	v.w.leads = -1
	return nil
}

func (v *worldView) Alive(id ServerID) bool {
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	broker, _ := BrokerOf(id)
	return v.w.alive[broker] && ServerOf(v.w.image.Brokers[broker]) == id
}

func (v *worldView) Leader(id ID) int32 {
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	if m := v.w.groups[id]; m != nil && m.leader != "" {
		broker, _ := BrokerOf(m.leader)
		return broker
	}
	return -1
}

func (v *worldView) Fenced() map[Replica]string {
	v.w.mu.Lock()
	defer v.w.mu.Unlock()
	return v.w.fenced
}

func (v *worldView) call(to ServerID, handle func(*Keeper) ([]byte, error)) ([]byte, error) {
	broker, _ := BrokerOf(to)
	if !v.Alive(to) {
		return nil, errors.New("unreachable")
	}
	return handle(v.w.keepers[broker])
}

func (v *worldView) CallTransfer(ctx context.Context, to ServerID, body []byte) ([]byte, error) {
	return v.call(to, func(k *Keeper) ([]byte, error) { return k.HandleTransfer(ctx, v.self, body) })
}

func (v *worldView) CallReset(ctx context.Context, to ServerID, body []byte) ([]byte, error) {
	return v.call(to, func(k *Keeper) ([]byte, error) { return k.HandleReset(ctx, v.self, body) })
}

func (v *worldView) CallReplicas(ctx context.Context, to ServerID, body []byte) ([]byte, error) {
	return v.call(to, func(k *Keeper) ([]byte, error) { return k.HandleReplicas(ctx, v.self, body) })
}

// modelView is a group on one server.
type modelView struct {
	v  *worldView
	id ID
}

func (g *modelView) lock() (*model, func()) {
	g.v.w.mu.Lock()
	return g.v.w.groups[g.id], g.v.w.mu.Unlock
}

func (g *modelView) Status() replication.Status {
	m, unlock := g.lock()
	defer unlock()
	return replication.Status{
		Serves: m.leader == g.v.self, LastIndex: m.end, Voters: slices.Clone(m.voters), Learners: slices.Clone(m.learners), ConfigCommitted: true,
	}
}

func (g *modelView) Match(id ServerID) (segment.Index, time.Time) {
	m, unlock := g.lock()
	defer unlock()
	if m.match[id] == m.end {
		return m.end, g.v.w.now
	}
	return m.match[id], time.Time{}
}

// change runs one change. One of the voters must leave a majority that has the whole log.
func (g *modelView) change(what string, id ServerID, f func(m *model) error) error {
	m, unlock := g.lock()
	defer unlock()
	w := g.v.w
	if w.fail != nil {
		return w.fail
	}
	if m.leader != g.v.self || !w.hasMajority(g.id, m.voters) {
		return errNoMajority
	}
	before := len(m.voters)
	if err := f(m); err != nil {
		return err
	}
	w.log = append(w.log, fmt.Sprintf("%s %s", what, id))
	if len(m.voters) == before {
		return nil // a learner's coming or going waits until enough have it
	}
	have := 0
	for _, s := range m.voters {
		if w.sound(s, g.id) && m.match[s] == m.end {
			have++
		}
	}
	if have <= len(m.voters)/2 {
		w.t.Errorf("%s %s leaves %d of %v with the log", what, id, have, m.voters)
	}
	return nil
}

func (g *modelView) AddLearner(_ context.Context, id ServerID) error {
	return g.change("add", id, func(m *model) error {
		if slices.Contains(slices.Concat(m.voters, m.learners), id) {
			g.v.w.t.Errorf("%s is a member already", id)
		}
		m.learners = append(m.learners, id)
		m.match[id] = 0
		return nil
	})
}

func (g *modelView) Promote(_ context.Context, id ServerID) error {
	return g.change("promote", id, func(m *model) error {
		if !slices.Contains(m.learners, id) || m.match[id] != m.end {
			g.v.w.t.Errorf("%s is no level learner", id)
		}
		m.learners = without(m.learners, id)
		m.voters = append(m.voters, id)
		return nil
	})
}

func (g *modelView) Remove(_ context.Context, id ServerID) error {
	return g.change("remove", id, func(m *model) error {
		if id == m.leader {
			g.v.w.t.Errorf("%s removes itself", id)
		}
		m.voters, m.learners = without(m.voters, id), without(m.learners, id)
		return nil
	})
}

func (g *modelView) Transfer(_ context.Context, to ServerID) error {
	return g.change("transfer to", to, func(m *model) error {
		if !g.v.w.sound(to, g.id) {
			return errors.New("does not answer")
		}
		m.leader = to
		m.moved = append(m.moved, to)
		return nil
	})
}
