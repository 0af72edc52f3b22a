// Command franz-go is a member of a consumer group with franz-go, speaking the lines that ../README.md describes.
package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quirelog/quire/interop/members"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 7 || args[0] != "member" {
		return errors.New("usage: member BOOTSTRAP GROUP TOPIC ASSIGNOR INSTANCE SESSION")
	}
	m := &member{out: members.NewPrinter(os.Stdout), topic: args[3]}
	opts, err := m.options(args[1], args[2], args[4], args[5], args[6])
	if err != nil {
		return err
	}
	for ended := members.ToldToEnd(); ; {
		m.id, m.owned = "", map[int32]bool{}
		if m.client, err = kgo.NewClient(opts...); err != nil {
			return err
		}
		for err == nil {
			select {
			case <-ended:
				m.out.Say(members.Event{Kind: members.Leaving})
				m.client.CloseAllowingRebalance()
				return nil
			default:
				err = m.poll()
			}
		}
		m.client.CloseAllowingRebalance()
		if !errors.Is(err, errThrownOut) {
			return err
		}
	}
}

// errThrownOut is what ends a client that was thrown out of a cooperative group without noticing: franz-go (1.22.2) joins again where its
// join is answered with UNKNOWN_MEMBER_ID, and goes on with what it had, from where it was, though others have had that meanwhile.
var errThrownOut = errors.New("thrown out while joining: a new client")

// member is the program's state. A rebalance, and so a callback, waits for the polling goroutine.
type member struct {
	out     *members.Printer
	topic   string
	client  *kgo.Client
	id      string         // with which owned was got
	owned   map[int32]bool // partitions
	pending []*kgo.Record  // printed and not committed, of owned partitions
}

func (m *member) options(bootstrap, group, assignor, instance, session string) ([]kgo.Opt, error) {
	ms, err := strconv.Atoi(session)
	if err != nil {
		return nil, err
	}
	timeout := time.Duration(ms) * time.Millisecond
	opts := []kgo.Opt{kgo.WithLogger(kgo.BasicLogger(os.Stderr, kgo.LogLevelInfo, stamp)),
		kgo.SeedBrokers(bootstrap), kgo.ConsumerGroup(group), kgo.ConsumeTopics(m.topic), kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(500 * time.Millisecond),
		kgo.SessionTimeout(timeout), kgo.HeartbeatInterval(timeout / 6), kgo.RebalanceTimeout(30 * time.Second),
		kgo.OnPartitionsAssigned(m.changed(members.Assigned)), kgo.OnPartitionsRevoked(m.changed(members.Revoked)),
		kgo.OnPartitionsLost(m.changed(members.Lost))}
	if instance != "" {
		opts = append(opts, kgo.InstanceID(instance))
	}
	switch assignor {
	case "range":
		opts = append(opts, kgo.Balancers(kgo.RangeBalancer()))
	case "roundrobin":
		opts = append(opts, kgo.Balancers(kgo.RoundRobinBalancer()))
	case "cooperative-sticky":
		opts = append(opts, kgo.Balancers(kgo.CooperativeStickyBalancer()))
	case "consumer":
		opts = append(opts, kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	default:
		return nil, fmt.Errorf("no assignor %q", assignor)
	}
	return opts, nil
}

// stamp begins a line of the client's log.
func stamp() string { return time.Now().Format("15:04:05.000 ") }

// changed says what became of partitions.
func (m *member) changed(kind string) func(context.Context, *kgo.Client, map[string][]int32) {
	return func(_ context.Context, cl *kgo.Client, of map[string][]int32) {
		gone := of[m.topic]
		if kind == members.Assigned && len(m.owned) == 0 {
			m.id, _ = cl.GroupMetadata()
		}
		for _, p := range gone {
			m.owned[p] = true
			if kind != members.Assigned {
				delete(m.owned, p)
			}
		}
		if len(gone) == 0 {
			return
		}
		if kind != members.Assigned {
			m.pending = slices.DeleteFunc(m.pending, func(r *kgo.Record) bool { return slices.Contains(gone, r.Partition) })
		}
		m.out.Say(members.Event{Kind: kind, Partitions: gone})
	}
}

// poll reads what is there, says so and commits it. No rebalance comes in between.
func (m *member) poll() error {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	fetches := m.client.PollRecords(ctx, 200)
	defer m.client.AllowRebalance()
	if m.thrownOut() {
		return errThrownOut
	}
	for _, e := range fetches.Errors() {
		var session *kgo.ErrGroupSession // told, and joined again
		switch {
		case errors.Is(e.Err, context.DeadlineExceeded):
		case errors.As(e.Err, &session):
			m.out.Say(members.Event{Kind: members.Refused, Why: e.Err.Error()})
		default:
			return fmt.Errorf("partition %d: %w", e.Partition, e.Err)
		}
	}
	var printed []members.Record
	fetches.EachRecord(func(r *kgo.Record) {
		rec := members.Record{int64(r.Partition), r.Offset}
		fmt.Sscanf(string(r.Value), "%d %d", &rec[2], &rec[3])
		printed, m.pending = append(printed, rec), append(m.pending, r)
	})
	if len(printed) > 0 {
		m.out.Say(members.Event{Kind: members.Records, Records: printed})
	}
	m.commit()
	return nil
}

// thrownOut notices that what is owned was got under another id.
func (m *member) thrownOut() bool {
	if id, _ := m.client.GroupMetadata(); id == m.id || len(m.owned) == 0 {
		return false
	}
	m.out.Say(members.Event{Kind: members.Lost, Partitions: slices.Sorted(maps.Keys(m.owned))})
	m.out.Say(members.Event{Kind: members.Restarted, Why: errThrownOut.Error()})
	clear(m.owned)
	m.pending = nil
	return true
}

// own refuses a commit that would go out under another id: it has waited while the client joined.
func (m *member) own(r *kmsg.OffsetCommitRequest) error {
	if r.MemberID != m.id {
		return errThrownOut
	}
	return nil
}

func (m *member) commit() {
	if len(m.pending) == 0 {
		return
	}
	next := map[int32]int64{}
	for _, r := range m.pending {
		next[r.Partition] = max(next[r.Partition], r.Offset+1)
	}
	sent := members.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := m.client.CommitRecords(kgo.PreCommitFnContext(ctx, m.own), m.pending...); err != nil {
		m.out.Say(members.Event{Kind: members.Refused, Why: err.Error()})
		return
	}
	m.pending = nil
	said := members.Event{Kind: members.Committed, Sent: sent}
	for p, o := range next {
		said.Offsets = append(said.Offsets, [2]int64{int64(p), o})
	}
	m.out.Say(said)
}
