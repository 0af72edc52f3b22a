package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quirelog/quire/broker/placement"
)

const (
	movesAtOnce = 1000 // in one request
	watchEvery  = 250 * time.Millisecond
	// strayTime is how long a broker that is asked may not have heard of a move yet. What is not being moved for longer has been taken back.
	strayTime = 15 * time.Second
)

// migration is the moving of replicas: what there is to do, what is under way, and how far it is.
type migration struct {
	c     *cli
	flags moveFlags
	again string // the command that goes on with it
	// choose names the partitions that the command is about, and the moves that they need.
	choose func(*layout) ([]spot, []moveView, error)
	// after is what is to be done when all replicas are where they are to be; nil: nothing.
	after func(context.Context, *kgo.Client) error

	chosen []spot
	moves  []moveView         // to be begun
	under  map[spot]moveView  // of the chosen, those that were being moved already
	open   map[spot][]int32   // of both, those that are not done, and where they are to be
	stray  map[spot]time.Time // of the open ones, since when nothing moves them
}

// load looks where everything is.
func (m *migration) load(ctx context.Context, cl *kgo.Client) error {
	s, err := loadCluster(ctx, cl)
	if err != nil {
		return err
	}
	reassigning, err := kadm.NewClient(cl).ListPartitionReassignments(ctx, nil)
	if err != nil {
		return fmt.Errorf("list the moves under way: %w", err)
	}
	l := newLayout(s, reassigning)
	if m.chosen, m.moves, err = m.choose(l); err != nil {
		return err
	}
	m.under, m.open, m.stray = map[spot]moveView{}, map[spot][]int32{}, map[spot]time.Time{}
	for _, p := range m.chosen {
		if part := l.partition(p); part.Target != nil {
			m.under[p] = moveView{p.topic, p.partition, part.Before, placement.Wanted(part), moveUnder}
			m.open[p] = part.Target
		}
	}
	for _, v := range m.moves {
		delete(m.under, v.spot()) // it is going to another spot from now on
		m.open[v.spot()] = v.To
	}
	return nil
}

// run begins the moves and watches all of the chosen partitions.
func (m *migration) run(ctx context.Context) error {
	err := m.c.request(ctx, m.begin)
	if err != nil || m.flags.noWait {
		return err
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	cl, err := m.c.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	err = m.watch(ctx, cl)
	if err == nil && m.after != nil {
		err = m.after(ctx, cl)
	}
	if ctx.Err() == nil {
		return err
	}
	if m.c.errTTY {
		fmt.Fprint(m.c.err, "\r\x1b[K")
	}
	fmt.Fprintf(m.c.err, "the moves under way go on; see how far they are with: %s\n", m.c.command(m.again))
	return errInterruptedTold
}

func (m *migration) begin(ctx context.Context, cl *kgo.Client) error {
	adm := kadm.NewClient(cl)
	for part := range slices.Chunk(m.moves, movesAtOnce) {
		var req kadm.AlterPartitionAssignmentsReq
		for _, v := range part {
			req.Assign(v.Topic, v.Partition, v.To)
		}
		answers, err := adm.AlterPartitionAssignments(ctx, req)
		if err != nil {
			return fmt.Errorf("move replicas: %w", err)
		}
		for _, a := range answers.Sorted() {
			if a.Err != nil {
				return withHint(fmt.Errorf("move %s: %w", partitionName(a.Topic, a.Partition), brokerError(a.Err, a.ErrMessage)), "%s",
					m.c.command("cluster partitions "+a.Topic))
			}
		}
	}
	for i := range m.moves {
		m.moves[i].State = moveUnder
	}
	return nil
}

// watch returns when all partitions are where they are to be. A broker that does not answer is asked again, or another one.
func (m *migration) watch(ctx context.Context, cl *kgo.Client) error {
	begun, all := time.Now(), len(m.open)
	for turn := 0; len(m.open) > 0; {
		switch err := m.look(ctx, cl, turn); {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !unreachable(err):
			return fmt.Errorf("look how far the moves are: %w", err)
		case err != nil:
			turn++
		}
		if m.c.errTTY && time.Since(begun) > time.Second {
			fmt.Fprintf(m.c.err, "\r\x1b[Kmoving: %d of %s done", all-len(m.open), plural(all, "partition"))
			if len(m.open) == 0 {
				fmt.Fprint(m.c.err, "\r\x1b[K")
			}
		}
		if len(m.open) == 0 {
			break
		}
		select {
		case <-time.After(watchEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// look closes what has been moved. One broker is asked for both, the replicas first: brokers hear of a change one after the other, and one
// that has not heard of a move yet would say that nothing is being moved.
func (m *migration) look(ctx context.Context, cl *kgo.Client, turn int) error {
	if len(cl.DiscoveredBrokers()) == 0 {
		if _, err := kadm.NewClient(cl).BrokerMetadata(ctx); err != nil {
			return err
		}
	}
	brokers := cl.DiscoveredBrokers()
	broker := brokers[turn%len(brokers)]
	placed, err := m.replicas(ctx, broker)
	if err != nil {
		return err
	}
	answer, err := broker.RetriableRequest(ctx, kmsg.NewPtrListPartitionReassignmentsRequest())
	if err != nil {
		return err
	}
	resp := answer.(*kmsg.ListPartitionReassignmentsResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			delete(placed, spot{t.Topic, p.Partition})
		}
	}
	return m.settle(placed, time.Now())
}

// settle closes the moves that are done. still has the replicas of the partitions that nobody moves.
func (m *migration) settle(still map[spot][]int32, now time.Time) error {
	for p, to := range m.open {
		replicas, ok := still[p]
		since, strays := m.stray[p]
		switch {
		case !ok:
			delete(m.stray, p)
		case slices.Equal(replicas, to):
			delete(m.open, p)
		case !strays:
			m.stray[p] = now
		case now.Sub(since) > strayTime:
			return withHint(fmt.Errorf("%s is on brokers %s and not being moved to %s: the move was taken back or changed", p, joinIDs(replicas),
				joinIDs(to)), "%s", m.c.command("cluster partitions "+p.topic))
		}
	}
	return nil
}

// replicas are those that a broker knows of the topics that are being moved. A topic that was deleted meanwhile needs no moving.
func (m *migration) replicas(ctx context.Context, broker *kgo.Broker) (map[spot][]int32, error) {
	topics := map[string]bool{}
	for p := range m.open {
		topics[p.topic] = true
	}
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range sortedKeys(topics) {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
	}
	answer, err := broker.RetriableRequest(ctx, req)
	if err != nil {
		return nil, err
	}
	placed := map[spot][]int32{}
	for _, t := range answer.(*kmsg.MetadataResponse).Topics {
		if t.Topic == nil {
			continue
		}
		if t.ErrorCode == kerr.UnknownTopicOrPartition.Code {
			maps.DeleteFunc(m.open, func(p spot, _ []int32) bool { return p.topic == *t.Topic })
		}
		for _, p := range t.Partitions {
			placed[spot{*t.Topic, p.Partition}] = p.Replicas
		}
	}
	return placed, nil
}

// views are all the moves, by partition.
func (m *migration) views() []moveView {
	list := []moveView{}
	for _, p := range m.chosen {
		v, ok := m.under[p]
		if at := slices.IndexFunc(m.moves, func(v moveView) bool { return v.spot() == p }); at >= 0 {
			v, ok = m.moves[at], true
		}
		if ok {
			if _, open := m.open[p]; v.State == moveUnder && !open {
				v.State = moveDone
			}
			list = append(list, v)
		}
	}
	return list
}

// electPreferred has the preferred replicas of partitions lead. One that cannot yet is asked again until ctx ends.
func electPreferred(ctx context.Context, adm *kadm.Client, parts []spot) error {
	for {
		var set kadm.TopicsSet
		for _, p := range parts {
			set.Add(p.topic, p.partition)
		}
		if len(parts) == 0 {
			return nil
		}
		answers, err := adm.ElectLeaders(ctx, kadm.ElectPreferredReplica, set)
		if err != nil && (ctx.Err() != nil || !unreachable(err)) {
			return fmt.Errorf("elect leaders: %w", err)
		}
		if err == nil {
			var last error
			parts = slices.DeleteFunc(parts, func(p spot) bool {
				a := answers[p.topic][p.partition]
				if a.Err == nil || errors.Is(a.Err, kerr.ElectionNotNeeded) {
					return true
				}
				last = fmt.Errorf("elect a leader of %s: %w", p, brokerError(a.Err, a.ErrMessage))
				return false
			})
			if last != nil && !errors.Is(last, kerr.PreferredLeaderNotAvailable) && !kerr.IsRetriable(last) {
				return last
			}
		}
		select {
		case <-time.After(watchEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
