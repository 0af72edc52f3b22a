package cluster

import (
	"context"
	"errors"
	"sync"
)

var errNotBuilt = errors.New("not built yet")

// Lead says who leads a partition.
type Lead struct {
	Broker int32
	Epoch  int32   // Raft's term
	InSync []int32 // broker ids; shared, not to be changed
}

// Replica is one server's replica of one partition.
type Replica struct {
	Server    ServerID
	Partition ID
}

// Leaders is the table of who leads what.
type Leaders struct {
	o       Options
	touched func(ID)

	mu      sync.Mutex
	changed chan struct{}
}

func newLeaders(o Options) *Leaders { return &Leaders{o: o, changed: make(chan struct{})} }

// Lookup tells who leads a group and serves it: the leader of the highest term that anybody has told of, while it is alive.
func (l *Leaders) Lookup(ID) (Lead, bool) { return Lead{}, false }

// Changed is closed at the next change of any lead or fence.
func (l *Leaders) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// Fenced are the replicas that brokers have told of as fenced, with the reason. The map is shared and never written again.
func (l *Leaders) Fenced() map[Replica]string { return nil }

// HandleGossip takes what a broker tells of itself (transport.MethodGossip).
func (l *Leaders) HandleGossip(context.Context, ServerID, []byte) ([]byte, error) {
	return nil, errNotBuilt
}

func (l *Leaders) setMembers([]ServerID)   {}
func (l *Leaders) touch(ID)                {}
func (l *Leaders) onPeer(ServerID, bool)   {}
func (l *Leaders) run(ctx context.Context) { <-ctx.Done() }
