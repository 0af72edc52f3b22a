package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// groupPoll is how many records are printed between two commits at most, and so read again after a crash.
	groupPoll = 1000
	// leaveTimeout is for the last commit and for leaving the group.
	leaveTimeout = 5 * time.Second
)

// groupHelp is the part of consume's help that is about groups.
const groupHelp = `-g reads as a member of a consumer group: its members share the partitions, and what was printed is committed, so that the
next one goes on behind it. -o then is start, end or @T, and counts only where the group has committed nothing yet.`

// memberReading prints what a group's member is given. One goroutine owns it.
type memberReading struct {
	*cli
	cl    *kgo.Client
	group string
	left  int64 // records still to be printed; 0 at the start: no limit
	write func([]byte, *kgo.Record) ([]byte, error)
	buf   []byte
}

// groupStart is rng for partitions of which a group has no offset.
func groupStart(rng offsetRange) (kgo.Offset, error) {
	if rng.to.kind == unbounded {
		switch rng.from.kind {
		case atStart:
			return kgo.NewOffset().AtStart(), nil
		case atEnd:
			return kgo.NewOffset().AtEnd(), nil
		case atTime:
			return kgo.NewOffset().AfterMilli(rng.from.n), nil
		}
	}
	return kgo.Offset{}, errors.New("a group goes on where it was: with -g, -o is start, end or @TIME; `group seek` moves a group")
}

func (c *cli) consumeAsMember(ctx context.Context, topics []string, o consumeOptions, rng offsetRange,
	write func([]byte, *kgo.Record) ([]byte, error)) error {
	start, err := groupStart(rng)
	if err != nil {
		return usageError("quire group seek --help", "%w", err)
	}
	if len(o.partitions) > 0 {
		return usageError("quire consume --help", "-g shares out the partitions: it does not go with -p")
	}
	ctx, stop := interruptible(ctx, syscall.SIGTERM) // a member that ends without leaving is missed for its session timeout
	defer stop()
	cl, err := c.connect(ctx, kgo.KeepControlRecords(), kgo.FetchMaxWait(time.Second), kgo.WithHooks(&reconnecting{cli: c}),
		kgo.ConsumerGroup(o.group), kgo.ConsumeTopics(topics...), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.Balancers(kgo.CooperativeStickyBalancer(), kgo.RangeBalancer(), kgo.RoundRobinBalancer()), // who else may be in it
		kgo.OnPartitionsAssigned(c.tellAssigned),
		kgo.ConsumeStartOffset(start), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())) // nothing that is there is skipped
	if err != nil {
		return err
	}
	defer cl.Close()
	asking, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	r := &memberReading{cli: c, cl: cl, group: o.group, left: o.count, write: write}
	if _, err = c.topicDetails(asking, kadm.NewClient(cl), topics...); err == nil {
		err = r.run(ctx)
	}
	if ctx.Err() != nil {
		err = errInterrupted
	}
	return cmp.Or(err, r.leave())
}

// tellAssigned says, to somebody at a terminal, what the member is given: where others have all there is, nothing is printed.
func (c *cli) tellAssigned(_ context.Context, _ *kgo.Client, given map[string][]int32) {
	if !c.errTTY {
		return
	}
	var list []kadm.Partition
	for topic, numbers := range given {
		for _, n := range numbers {
			list = append(list, kadm.Partition{Topic: topic, Partition: n})
		}
	}
	if len(list) > 0 {
		fmt.Fprintf(c.err, "reading %s; Ctrl-C commits and leaves\n", topicPartitionNames(list))
	}
}

// run prints and then commits, poll by poll. Between a poll and the commit no partition goes to another member.
func (r *memberReading) run(ctx context.Context) error {
	out := bufio.NewWriterSize(r.out, 64<<10)
	for limited := r.left > 0; !limited || r.left > 0; {
		most := groupPoll
		if limited {
			most = int(min(r.left, groupPoll))
		}
		fetches := r.cl.PollRecords(ctx, most)
		if ctx.Err() != nil && fetches.NumRecords() == 0 {
			return errInterrupted
		}
		if err := r.memberError(ctx, fetches); err != nil {
			return err
		}
		if err := r.print(out, fetches); err != nil {
			return fmt.Errorf("print a record: %w", err)
		}
		if err := r.commit(ctx); err != nil {
			return err
		}
		r.cl.AllowRebalance()
	}
	return nil
}

// print writes all records and flushes them: only what has left this process is committed.
func (r *memberReading) print(out *bufio.Writer, fetches kgo.Fetches) (err error) {
	fetches.EachRecord(func(rec *kgo.Record) {
		if err != nil || rec.Attrs.IsControl() {
			return
		}
		r.left--
		if r.buf, err = r.write(r.buf[:0], rec); err == nil {
			_, err = out.Write(r.buf)
		}
	})
	if err != nil {
		return err
	}
	return out.Flush()
}

// commit commits what was polled, which is printed. It is not given up at Ctrl-C. Where the partitions have gone to others because
// printing took too long, those read the records again.
func (r *memberReading) commit(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), adminTimeout)
	defer cancel()
	err := r.cl.CommitUncommittedOffsets(ctx)
	switch {
	case err == nil:
		return nil
	case outOfGroup(err):
		fmt.Fprintf(r.err, "not committed, another member may read the last records again: %v\n", brokerError(err, ""))
		return nil
	}
	return r.groupError(r.group, err, "")
}

// memberError is why the member is not given records. What passes is not told: the client joins again, and reconnecting says when it
// lost the broker.
func (r *memberReading) memberError(ctx context.Context, fetches kgo.Fetches) error {
	if ctx.Err() != nil { // an error among them is that
		return nil
	}
	for _, e := range fetches.Errors() {
		session, ok := errors.AsType[*kgo.ErrGroupSession](e.Err)
		if !ok {
			continue
		}
		if ke, refused := errors.AsType[*kerr.Error](session.Err); refused && !ke.Retriable && !outOfGroup(ke) {
			return r.groupError(r.group, session.Err, "")
		}
		return nil
	}
	return r.fetchError(fetches)
}

// outOfGroup says that the member's partitions went to others without its doing, or are about to.
func outOfGroup(err error) bool {
	for _, out := range []error{kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.RebalanceInProgress, kerr.FencedMemberEpoch,
		kerr.StaleMemberEpoch} {
		if errors.Is(err, out) {
			return true
		}
	}
	return false
}

// leave gives the partitions to the others at once.
func (r *memberReading) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	r.cl.AllowRebalance()
	if err := r.cl.LeaveGroupContext(ctx); err != nil {
		return r.groupError(r.group, fmt.Errorf("leave: %w", err), "")
	}
	return nil
}
