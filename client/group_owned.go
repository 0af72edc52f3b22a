package client

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
)

// assigned takes partitions that are this member's from now on. kgo runs assigned, revoked and lost one at a time.
func (g *Group) assigned(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for topic, numbers := range parts {
		for _, n := range numbers {
			g.owned[topicPartition{topic, n}] = &ownedPartition{g: g, topic: topic, n: n}
		}
	}
}

// revoked lets partitions go: the records in hand are waited for and what is finished is committed, as far as DrainTimeout allows. A
// commit that fails here costs nothing but a second reading.
func (g *Group) revoked(ctx context.Context, _ *kgo.Client, parts map[string][]int32) {
	ctx, cancel := context.WithTimeout(ctx, g.options.DrainTimeout)
	defer cancel()
	leaving := g.leaving(parts)
	if len(leaving) == 0 {
		return
	}
	g.drain(ctx, leaving)
	_ = g.commitFinished(ctx)
	g.drop(parts)
}

// lost takes away partitions that others may have already.
func (g *Group) lost(_ context.Context, _ *kgo.Client, parts map[string][]int32) { g.drop(parts) }

// leaving stops handing out records of partitions.
func (g *Group) leaving(parts map[string][]int32) []*ownedPartition {
	g.mu.Lock()
	defer g.mu.Unlock()
	var leaving []*ownedPartition
	for topic, numbers := range parts {
		for _, n := range numbers {
			if p := g.owned[topicPartition{topic, n}]; p != nil {
				p.leaving, p.queue = true, nil
				leaving = append(leaving, p)
			}
		}
	}
	return leaving
}

// drain waits until nothing of the partitions is in hand, ctx ends or the group is closed.
func (g *Group) drain(ctx context.Context, leaving []*ownedPartition) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range leaving {
		for len(p.inHand) > 0 && !g.closing {
			if g.wait(ctx) != nil {
				return
			}
		}
	}
}

// drop forgets partitions, and tells whoever waits for commits in them.
func (g *Group) drop(parts map[string][]int32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for topic, numbers := range parts {
		for _, n := range numbers {
			name := topicPartition{topic, n}
			if p := g.owned[name]; p != nil {
				p.gone, p.queue, p.inHand = true, nil, nil
				delete(g.owned, name)
			}
		}
	}
	g.notify()
}

// dropAll forgets what is left when the group is closed.
func (g *Group) dropAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, p := range g.owned {
		p.gone = true
		delete(g.owned, name)
	}
	g.notify()
}
