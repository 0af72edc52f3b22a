package replication

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/replication/transport"
	"github.com/quirelog/quire/segment"
)

// membership is a Raft configuration and the index of the entry that made it. It never changes.
type membership struct {
	index    segment.Index
	config   raft.Configuration
	voters   []ServerID
	learners []ServerID // the other members
	lone     bool       // this server is the only voter: what it has stored is committed
	alone    bool       // and nobody else is in the configuration
}

func newMembership(index segment.Index, c raft.Configuration, self ServerID) *membership {
	m := &membership{index: index, config: c}
	for _, s := range c.Servers {
		if s.Suffrage == raft.Voter {
			m.voters = append(m.voters, s.ID)
		} else {
			m.learners = append(m.learners, s.ID)
		}
	}
	m.lone = len(m.voters) == 1 && m.voters[0] == self
	m.alone = m.lone && len(c.Servers) == 1
	return m
}

// votes says whether a server has a vote, has whether it is a member at all.
func (m *membership) votes(id ServerID) bool { return slices.Contains(m.voters, id) }
func (m *membership) has(id ServerID) bool   { return m.votes(id) || slices.Contains(m.learners, id) }

// members are the configurations that the log holds. As in Raft, the newest one counts from the moment that it is stored,
// and the one before counts again when a truncation takes it away.
//
// What always holds: stack is ordered by index and never empty, its first one is committed (or index 0: none is known). Only
// the goroutine that stores and truncates changes it.
type members struct {
	self   ServerID
	newest atomic.Pointer[membership]

	mu    sync.Mutex
	stack []*membership
}

func (ms *members) reset(m *membership) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	ms.stack = []*membership{m}
	ms.newest.Store(m)
}

// add takes a configuration entry that was stored.
func (ms *members) add(index segment.Index, data []byte) error {
	c, err := transport.DecodeConfiguration(data)
	if err != nil {
		return fmt.Errorf("configuration entry %d: %w", index, err)
	}
	m := newMembership(index, c, ms.self)
	ms.mu.Lock()
	defer ms.mu.Unlock()
	ms.stack = append(ms.stack, m)
	ms.newest.Store(m)
	return nil
}

// truncateAfter forgets configurations above last.
func (ms *members) truncateAfter(last segment.Index) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	n := len(ms.stack)
	for n > 1 && ms.stack[n-1].index > last {
		n--
	}
	ms.stack = ms.stack[:n]
	ms.newest.Store(ms.stack[n-1])
}

// committedAt is the configuration that counts at index, which is committed: older ones are forgotten.
func (ms *members) committedAt(index segment.Index) *membership {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	n := 0
	for n+1 < len(ms.stack) && ms.stack[n+1].index <= index {
		n++
	}
	ms.stack = slices.Delete(ms.stack, 0, n)
	return ms.stack[0]
}

// bootstrapConfiguration lists voters in an order of its own, so that every replica writes the same first entry.
func bootstrapConfiguration(voters []ServerID) raft.Configuration {
	var c raft.Configuration
	for _, id := range slices.Sorted(slices.Values(voters)) {
		c.Servers = append(c.Servers, raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	return c
}
