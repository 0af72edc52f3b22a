package controller

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// TestMetadataOutlivesItsBrokers has brokers die, come back, and lose answers, while others change the metadata through any of them. What was
// acknowledged is there, once; what was handed out is handed out once; and all have the same image.
//
// QUIRE_CHAOS_ROUNDS (default 4) and QUIRE_CHAOS_SEED set how long, and which.
func TestMetadataOutlivesItsBrokers(t *testing.T) {
	setting := func(name string, value uint64) uint64 {
		if s := os.Getenv(name); s != "" {
			n, err := strconv.ParseUint(s, 10, 64)
			must(t, err)
			return n
		}
		return value
	}
	seed, rounds := setting("QUIRE_CHAOS_SEED", uint64(time.Now().UnixNano())), setting("QUIRE_CHAOS_ROUNDS", 4)
	t.Logf("QUIRE_CHAOS_SEED=%d QUIRE_CHAOS_ROUNDS=%d", seed, rounds)
	tc := newTestCluster(t)
	tc.found(3)
	tc.grow(4, 1)
	l := &ledger{tc: tc, topics: map[string]TopicID{}, blocks: map[int64]bool{}}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var workers sync.WaitGroup
	for n := range 4 {
		workers.Go(func() { l.work(ctx, fmt.Sprint("w", n), rand.New(rand.NewPCG(seed, uint64(n)))) })
	}
	r := rand.New(rand.NewPCG(seed, 99))
	for range rounds {
		tc.disturb(r, l)
	}
	stop()
	workers.Wait()
	tc.agree()
	l.check(t)
}

// disturb lets one or two brokers die and come back. In between the others go on, if they are a majority.
func (tc *testCluster) disturb(r *rand.Rand, l *ledger) {
	ids := r.Perm(4)[:1+r.IntN(2)]
	for _, n := range ids {
		tc.stop(int32(n + 1))
	}
	tc.mu.Lock()
	tc.lose = r.IntN(3)
	tc.mu.Unlock()
	for id := int32(1); id <= 3; id++ {
		if c := tc.get(id); c != nil && len(ids) == 1 {
			tc.elect(id)
			l.progress()
			break
		}
	}
	for _, n := range ids {
		tc.start(int32(n + 1))
	}
	if r.IntN(3) == 0 {
		if err := tc.get(int32(1 + r.IntN(4))).raft.Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
			tc.t.Fatal(err)
		}
	}
	tc.elect(int32(1 + r.IntN(3)))
	tc.leader()
	l.progress()
}

// ledger is what was acknowledged.
type ledger struct {
	tc     *testCluster
	mu     sync.Mutex
	topics map[string]TopicID
	gone   []TopicID
	blocks map[int64]bool
	done   int
}

// progress waits until some more changes are acknowledged.
func (l *ledger) progress() {
	l.tc.t.Helper()
	count := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.done
	}
	before := count()
	defer func() {
		if l.tc.t.Failed() {
			for id := int32(1); id <= 4; id++ {
				if c := l.tc.get(id); c != nil {
					l.tc.t.Logf("broker %d: %+v, image %d", id, c.Status(), c.Image().Version)
				}
			}
		}
	}()
	eventually(l.tc.t, "changes are acknowledged", func() bool { return count() >= before+8 })
}

func (l *ledger) work(ctx context.Context, name string, r *rand.Rand) {
	for n := 0; ctx.Err() == nil; n++ {
		c := l.tc.get(int32(1 + r.IntN(4)))
		if c == nil {
			select {
			case <-ctx.Done():
			case <-time.After(time.Millisecond):
			}
			continue
		}
		once, cancel := context.WithTimeout(ctx, 20*time.Second)
		err := l.change(once, c, fmt.Sprint(name, "-", n), r)
		cancel()
		if err != nil && !c.isClosed() && ctx.Err() == nil {
			l.tc.t.Errorf("%s-%d: %v", name, n, err)
			return
		}
	}
}

// change makes a topic and deletes it again now and then, or takes producer ids.
func (l *ledger) change(ctx context.Context, c *Controller, name string, r *rand.Rand) error {
	if r.IntN(3) == 0 {
		first, err := c.ProducerIDs(ctx, 10)
		if err != nil {
			return err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.blocks[first] {
			return fmt.Errorf("producer ids from %d on were handed out twice", first)
		}
		l.blocks[first] = true
		l.done++
		return nil
	}
	topic, err := c.CreateTopic(ctx, NewTopic{Name: name, Partitions: []Partition{{Replicas: []int32{1, 2, 3}}}})
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.topics[name] = topic.ID
	l.done++
	l.mu.Unlock()
	if r.IntN(3) > 0 {
		return nil
	}
	l.mu.Lock()
	delete(l.topics, name) // from now on it may be gone
	l.mu.Unlock()
	if err := c.DeleteTopic(ctx, topic.ID); err != nil {
		return err
	}
	l.mu.Lock()
	l.gone = append(l.gone, topic.ID)
	l.mu.Unlock()
	return nil
}

func (l *ledger) check(t *testing.T) {
	i := l.tc.leader().Image()
	for name, id := range l.topics {
		if got := i.Topics[name]; got == nil || got.ID != id {
			t.Errorf("topic %s was acknowledged as %s, and is %+v", name, id, got)
		}
	}
	for _, id := range l.gone {
		if i.TopicsByID[id] != nil {
			t.Errorf("topic %s was deleted, and is there", id)
		}
	}
	for first := range l.blocks {
		if first+10 > i.nextProducerID {
			t.Errorf("producer ids from %d on were handed out, and the next is %d", first, i.nextProducerID)
		}
	}
	t.Logf("%d changes, %d topics, %d blocks of producer ids", l.done, len(l.topics), len(l.blocks))
}
