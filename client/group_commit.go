package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commitRetry is how long the committer waits after a commit that a rebalance or a lost broker got in the way of.
const commitRetry = 100 * time.Millisecond

// ownedPartition is a partition while this member has it. Group.mu guards it.
type ownedPartition struct {
	g     *Group
	topic string
	n     int32

	queue     []*kgo.Record   // fetched, not handed out
	inHand    []*work         // handed out, from the first one that is not finished on, by offset
	finished  kgo.EpochOffset // everything below was finished
	committed int64           // the last offset committed in this ownership
	leaving   bool            // it is being drained: nothing more is handed out
	gone      bool            // another member has it
	err       error           // why the last commit was refused for good
}

// work is a batch in hand.
type work struct {
	end  kgo.EpochOffset // what to commit when it is finished
	done bool
}

func (p *ownedPartition) String() string { return fmt.Sprintf("topic %q partition %d", p.topic, p.n) }

// handOut is called with Group.mu held, and with n records queued.
func (p *ownedPartition) handOut(n int) *Batch {
	records := make([]*Record, n)
	for i, k := range p.queue[:n] {
		records[i] = newRecord(k)
	}
	last := p.queue[n-1]
	w := &work{end: kgo.EpochOffset{Epoch: last.LeaderEpoch, Offset: last.Offset + 1}}
	clear(p.queue[:n])
	p.queue = p.queue[n:]
	p.inHand = append(p.inHand, w)
	return &Batch{Records: records, owner: p, work: w}
}

// finish marks w, and moves the offset to commit over what is finished without a gap. Group.mu is held.
func (p *ownedPartition) finish(w *work) {
	w.done, p.err = true, nil
	for len(p.inHand) > 0 && p.inHand[0].done {
		p.finished = p.inHand[0].end
		p.inHand = p.inHand[1:]
	}
}

// Commit does for a batch what Message.Commit does for a message.
func (b *Batch) Commit(ctx context.Context) error {
	p := b.owner
	g := p.g
	g.mu.Lock()
	defer g.mu.Unlock()
	if !p.gone && p.committed < b.work.end.Offset {
		p.finish(b.work)
		g.notify()
		wake(g.dirty)
	}
	for {
		switch {
		case p.committed >= b.work.end.Offset, !p.gone && p.finished.Offset < b.work.end.Offset:
			return nil
		case p.gone && g.closing:
			return g.c.explain(ErrClosed, "commit offset %d of %s", b.work.end.Offset, p)
		case p.gone:
			return g.c.explain(ErrNotOwned, "commit offset %d of %s", b.work.end.Offset, p)
		case p.err != nil:
			return g.c.explain(p.err, "commit offset %d of %s", b.work.end.Offset, p)
		}
		if err := g.wait(ctx); err != nil {
			return g.c.explain(err, "commit offset %d of %s", b.work.end.Offset, p)
		}
	}
}

// notify wakes all who wait for a change. Group.mu is held.
func (g *Group) notify() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// wait returns after the next change, or with ctx's error. Group.mu is held before and after, not meanwhile.
func (g *Group) wait(ctx context.Context) error {
	changed := g.changed
	g.mu.Unlock()
	defer g.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// runCommitter commits what is finished, all partitions in one request, until ctx ends; commits that come meanwhile share the next one.
func (g *Group) runCommitter(ctx context.Context) {
	for {
		select {
		case <-g.dirty:
		case <-ctx.Done():
			return
		}
		if err := g.commitFinished(ctx); err == nil {
			continue
		}
		select {
		case <-time.After(commitRetry):
			wake(g.dirty)
		case <-ctx.Done():
			return
		}
	}
}

// commitFinished commits all that is finished. An error is worth another try: a refusal for good is the partition's. It is done by
// one at a time, so that an older offset never follows a newer one.
func (g *Group) commitFinished(ctx context.Context) error {
	g.committing.Lock()
	defer g.committing.Unlock()
	offsets := g.uncommitted()
	if len(offsets) == 0 {
		return nil
	}
	var retry error
	g.kgo.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			retry = err
			return
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		for i := range resp.Topics {
			for _, rp := range resp.Topics[i].Partitions {
				err := g.noteCommit(resp.Topics[i].Topic, rp.Partition, offsets, kerr.ErrorForCode(rp.ErrorCode))
				retry = errors.Join(retry, err)
			}
		}
		g.notify()
	})
	return retry
}

// uncommitted collects the offsets to commit.
func (g *Group) uncommitted() map[string]map[int32]kgo.EpochOffset {
	g.mu.Lock()
	defer g.mu.Unlock()
	offsets := make(map[string]map[int32]kgo.EpochOffset)
	for name, p := range g.owned {
		if p.finished.Offset <= p.committed || p.err != nil {
			continue
		}
		if offsets[name.topic] == nil {
			offsets[name.topic] = make(map[int32]kgo.EpochOffset)
		}
		offsets[name.topic][name.partition] = p.finished
	}
	return offsets
}

// noteCommit takes the broker's answer for one partition. Group.mu is held.
func (g *Group) noteCommit(topic string, n int32, offsets map[string]map[int32]kgo.EpochOffset, err error) error {
	p := g.owned[topicPartition{topic, n}]
	switch {
	case p == nil:
		return nil
	case err == nil:
		p.committed = max(p.committed, offsets[topic][n].Offset)
		return nil
	case rebalancing(err) || kerr.IsRetriable(err):
		return err // the rebalance says whose it is
	}
	p.err = err
	return nil
}

// rebalancing says that a commit came while the group's generation or the member's epoch changes.
func rebalancing(err error) bool {
	for _, e := range []error{kerr.RebalanceInProgress, kerr.IllegalGeneration, kerr.UnknownMemberID,
		kerr.FencedMemberEpoch, kerr.StaleMemberEpoch} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
