package interop

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quirelog/quire/interop/members"
)

const (
	groupTopic      = "jobs"
	groupPartitions = 60
	groupKeys       = 600
	groupSession    = 6 * time.Second // the shortest that brokers allow
	groupLoad       = 200             // records a second
)

// group is one consumer group, with a seat for each member.
type group struct {
	name, assignor string
	seats          []*seat
	observed       []observation
}

// stage is a broker, a topic under load, and groups that read it.
type stage struct {
	t      *testing.T
	server *server
	rng    *rand.Rand
	admin  *kadm.Client
	groups []*group

	mu      sync.Mutex
	written map[int32][]members.Record
	stop    context.CancelFunc // ends load and observation
	loaded  context.CancelFunc // ends load
	working sync.WaitGroup
	loading sync.WaitGroup
}

// mix says who sits in a group.
type mix struct {
	group, assignor string
	static          bool
	of              []memberProgram
}

// newStage starts the broker, the load and what watches the groups' offsets; members come later.
func newStage(t *testing.T, mixes []mix) *stage {
	s := &stage{t: t, server: groupBroker(t), rng: groupSeed(t), written: map[int32][]members.Record{}}
	for _, m := range mixes {
		g := &group{name: m.group, assignor: m.assignor}
		for i, p := range m.of {
			if os.Getenv(p.needs) == "" {
				if os.Getenv("CI") == "true" {
					t.Fatalf("%s is not installed: run it through ./run", p.name)
				}
				t.Logf("SKIPPED: %s is not installed", p.name)
				continue
			}
			at := &seat{program: p, name: fmt.Sprintf("%s/%s-%d", m.group, p.name, i)}
			instance := ""
			if m.static {
				instance = fmt.Sprintf("seat-%d", i)
			}
			at.args = []string{"member", s.server.addr, m.group, groupTopic, m.assignor, instance, fmt.Sprint(groupSession.Milliseconds())}
			g.seats = append(g.seats, at)
		}
		s.groups = append(s.groups, g)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.server.addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	s.admin = kadm.NewClient(cl)
	if _, err := s.admin.CreateTopic(t.Context(), groupPartitions, 1, nil, groupTopic); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	load, loaded := context.WithCancel(ctx)
	s.stop, s.loaded = stop, loaded
	s.loading.Go(func() { s.produce(load, cl) })
	s.working.Go(func() { s.observe(ctx) })
	t.Cleanup(func() {
		stop()
		s.loading.Wait()
		s.working.Wait()
		s.keep()
		cl.Close()
	})
	return s
}

// groupBroker is the broker under test, with a short session for members of the new protocol too.
func groupBroker(t *testing.T) *server {
	t.Helper()
	session := fmt.Sprint(groupSession.Milliseconds())
	switch os.Getenv("QUIRE_INTEROP_BROKER") {
	case "":
		return startQuire(t, t.TempDir(), "--group-consumer-session-timeout-ms="+session, "--group-consumer-heartbeat-interval-ms=1000")
	case "kafka":
		return startKafka(t, "group.consumer.min.session.timeout.ms="+session, "group.consumer.session.timeout.ms="+session)
	}
	t.Skip("SKIPPED: a running broker has the timeouts it has")
	return nil
}

func groupSeed(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("QUIRE_INTEROP_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("QUIRE_INTEROP_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// setting is a number from the environment, or its short form.
func setting(t *testing.T, name string, short int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return short
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// produce writes records at a steady pace until ctx ends, and then waits until all of them are acknowledged.
func (s *stage) produce(ctx context.Context, cl *kgo.Client) {
	const pace = 50 * time.Millisecond
	numbers := make([]int64, groupKeys)
	for tick := time.NewTicker(pace); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			if err := cl.Flush(s.t.Context()); err != nil && s.t.Context().Err() == nil {
				s.t.Errorf("flush: %v", err)
			}
			return
		case <-tick.C:
		}
		for range groupLoad * int(pace/time.Millisecond) / 1000 {
			key := rand.Int64N(groupKeys)
			number := numbers[key]
			numbers[key]++
			r := &kgo.Record{Topic: groupTopic, Partition: int32(key % groupPartitions), Value: fmt.Appendf(nil, "%d %d", key, number)}
			cl.Produce(s.t.Context(), r, func(r *kgo.Record, err error) { s.acknowledged(r, key, number, err) })
		}
	}
}

func (s *stage) acknowledged(r *kgo.Record, key, number int64, err error) {
	if err != nil {
		s.t.Errorf("produce: %v", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Offset != int64(len(s.written[r.Partition])) {
		s.t.Errorf("partition %d: offset %d was acknowledged where %d was due", r.Partition, r.Offset, len(s.written[r.Partition]))
	}
	s.written[r.Partition] = append(s.written[r.Partition], members.Record{int64(r.Partition), r.Offset, key, number})
}

// observe asks for the committed offsets of every group again and again. A broker that is down is asked again.
func (s *stage) observe(ctx context.Context) {
	for tick := time.NewTicker(250 * time.Millisecond); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
		for _, g := range s.groups {
			if o, err := s.committed(ctx, g); err == nil {
				g.observed = append(g.observed, o)
			}
		}
	}
}

func (s *stage) committed(ctx context.Context, g *group) (observation, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	o := observation{sent: members.Now(), offsets: map[int32]int64{}}
	for p := range int32(groupPartitions) {
		o.offsets[p] = -1
	}
	got, err := s.admin.FetchOffsets(ctx, g.name)
	if err == nil {
		err = got.Error()
	}
	got.Each(func(r kadm.OffsetResponse) { o.offsets[r.Partition] = r.At })
	return o, err
}

// faults fails the test when a process ended that should not have.
func (s *stage) faults() {
	s.t.Helper()
	failed := false
	for _, g := range s.groups {
		for _, at := range g.seats {
			for _, l := range at.lives {
				if err := l.fault(); err != nil {
					s.t.Error(err)
					failed = true
				}
			}
		}
	}
	if failed {
		s.t.FailNow()
	}
}

// until polls cond, which says what is missing, until that is nothing.
func (s *stage) until(within time.Duration, cond func() string) {
	s.t.Helper()
	late := time.After(within)
	for tick := time.NewTicker(200 * time.Millisecond); ; {
		s.faults()
		missing := cond()
		if missing == "" {
			tick.Stop()
			return
		}
		select {
		case <-late:
			s.t.Fatalf("after %v: %s", within, missing)
		case <-s.t.Context().Done():
			s.t.Fatal(s.t.Context().Err())
		case <-tick.C:
		}
	}
}
