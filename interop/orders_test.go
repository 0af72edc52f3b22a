package interop

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quirelog/quire/interop/members"
)

// TestOrderProcessors: two consumers of kafka-python in one group commit after each record and share four partitions. One is killed with
// kill -9, at any moment or between processing a record and committing it. The other takes its partitions over, and begins each
// exactly where it was committed: it repeats at most the one record that the dead one had processed and not committed, and none is
// left out. QUIRE_INTEROP_ORDER_ROUNDS (1) rounds of each.
func TestOrderProcessors(t *testing.T) {
	broker := brokerUnderTest(t)
	rng := groupSeed(t)
	for _, version := range []struct{ name, python string }{{"kafka-python", "QUIRE_INTEROP_PYTHON"}, {"kafka-python-2.0.2", "QUIRE_INTEROP_PYTHON_OLD"}} {
		if os.Getenv(version.python) == "" {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is not installed: run it through ./run", version.name)
			}
			t.Logf("SKIPPED: %s is not installed", version.name)
			continue
		}
		program := memberProgram{version.name, version.python, func() []string { return argv(version.python, "clients/python/orders.py") }}
		for round := range setting(t, "QUIRE_INTEROP_ORDER_ROUNDS", 1) {
			after := 1 + rng.IntN(120)
			for _, hold := range []bool{false, true} {
				o := &orders{topic: fmt.Sprintf("orders-%s-%d-%v", version.name, round, hold), after: after, hold: hold}
				t.Run(o.topic, func(t *testing.T) {
					t.Parallel()
					o.run(t, broker, program)
				})
			}
		}
	}
}

// orders is one round.
type orders struct {
	topic string
	after int // the first is killed when it has processed so many
	hold  bool

	admin        *kadm.Client
	written      map[int32]int64
	dead, living *seat
}

const orderPartitions = 4

func (o *orders) seat(program memberProgram, name, broker, group string, hold int) *seat {
	return &seat{program: program, name: name, args: []string{broker, group, o.topic, name, fmt.Sprint(groupSession.Milliseconds()), fmt.Sprint(hold)}}
}

func (o *orders) run(t *testing.T, broker string, program memberProgram) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.DefaultProduceTopic(o.topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	o.admin, o.written = kadm.NewClient(cl), map[int32]int64{}
	createTopic(t, broker, o.topic, orderPartitions)
	hold := 0
	if o.hold {
		hold = o.after
	}
	group := "order-processors-" + o.topic
	o.dead = o.seat(program, "dead", broker, group, hold)
	o.living = o.seat(program, "living", broker, group, 0)
	o.dead.sit(t)
	o.living.sit(t)
	mine := o.shares(t, group)
	o.produce(t, cl, 400)
	o.await(t, "the first processes", func() bool { return len(o.dead.now().processed(mine...)) >= o.after })
	o.dead.now().kill()
	<-o.dead.lives[0].ended
	fetched, err := o.admin.FetchOffsets(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	committed := map[int32]int64{}
	fetched.Each(func(r kadm.OffsetResponse) { committed[r.Partition] = r.At })
	o.produce(t, cl, 100)
	var all int64
	for p := range int32(orderPartitions) {
		all += o.written[p]
		if slices.Contains(mine, p) {
			all -= committed[p]
		}
	}
	o.await(t, "the other processes the rest", func() bool { return int64(len(o.living.now().processed())) >= all })
	o.check(t, mine, committed)
}

// shares waits until both have two partitions, and returns those of the first: after the records are there, nothing moves but by its death.
func (o *orders) shares(t *testing.T, group string) []int32 {
	var mine []int32
	o.await(t, "both share the partitions", func() bool {
		got, err := o.admin.DescribeGroups(t.Context(), group)
		if err != nil || got[group].State != "Stable" || len(got[group].Members) != 2 {
			return false
		}
		mine = nil
		return !slices.ContainsFunc(got[group].Members, func(m kadm.DescribedGroupMember) bool {
			c, ok := m.Assigned.AsConsumer()
			if ok && len(c.Topics) == 1 && m.ClientID == o.dead.name {
				mine = c.Topics[0].Partitions
			}
			return !ok || len(c.Topics) != 1 || len(c.Topics[0].Partitions) != orderPartitions/2
		})
	})
	return mine
}

func (o *orders) produce(t *testing.T, cl *kgo.Client, n int) {
	t.Helper()
	for i := range n {
		customer := i % 40
		r := &kgo.Record{Key: fmt.Appendf(nil, "customer-%d", customer), Value: fmt.Appendf(nil, `{"customer": %d, "number": %d}`, customer, i)}
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		o.written[r.Partition]++
	}
}

func (o *orders) await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	late := time.After(90 * time.Second)
	for tick := time.NewTicker(50 * time.Millisecond); !cond(); {
		for _, l := range append(slices.Clone(o.dead.lives), o.living.lives...) {
			if err := l.fault(); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case <-late:
			t.Fatalf("%s: not within 90 s", what)
		case <-tick.C:
		}
	}
}

// processed are the records that the process has processed so far, of these partitions or of all.
func (l *life) processed(of ...int32) []members.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	var rs []members.Record
	for _, e := range l.events {
		for _, r := range e.Records {
			if len(of) == 0 || slices.Contains(of, int32(r[0])) {
				rs = append(rs, r)
			}
		}
	}
	return rs
}

func (o *orders) check(t *testing.T, mine []int32, committed map[int32]int64) {
	t.Helper()
	next := func(rs []members.Record, from map[int32]int64) map[int32]int64 {
		at := maps.Clone(from)
		for _, r := range rs {
			if p := int32(r[0]); r[1] != at[p] {
				t.Errorf("partition %d: offset %d was processed where %d was due", p, r[1], at[p])
			}
			at[int32(r[0])] = r[1] + 1
		}
		return at
	}
	acked := map[int32]int64{}
	for _, e := range o.dead.lives[0].events {
		for _, c := range e.Offsets {
			acked[int32(c[0])] = c[1]
		}
	}
	begun, repeated := map[int32]int64{}, int64(0)
	processed := next(o.dead.lives[0].processed(), begun)
	for _, p := range mine {
		begun[p] = committed[p]
		repeated += processed[p] - committed[p]
		if committed[p] < acked[p] || committed[p] > processed[p] {
			t.Errorf("partition %d: %d was acknowledged, %d is committed, %d was processed", p, acked[p], committed[p], processed[p])
		}
	}
	if ends := next(o.living.now().processed(), begun); !maps.Equal(ends, o.written) {
		t.Errorf("the other ended at %v, want %v", ends, o.written)
	}
	if repeated > 1 || o.hold && repeated != 1 {
		t.Errorf("%d records were processed twice", repeated)
	}
	t.Logf("killed after %d records, %d of them repeated", len(o.dead.lives[0].processed()), repeated)
}
