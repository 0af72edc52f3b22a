package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// ErrNoVoter is what a broker is that the controller cannot be handed to.
var ErrNoVoter = errors.New("broker has no vote in the controller group, or is not alive")

// Quorum is the controller group as its leader sees it.
type Quorum struct {
	Leader    int32    `json:"leader"`    // broker id; -1: unknown
	Epoch     int32    `json:"epoch"`     // Raft's term
	Committed int64    `json:"committed"` // entries of the log that are committed
	Voters    []Member `json:"voters"`
	Observers []Member `json:"observers"` // without a vote
}

// Member is one broker of the controller group.
type Member struct {
	Broker      int32     `json:"broker"`
	Incarnation TopicID   `json:"incarnation"` // of its data directory
	LogEnd      int64     `json:"log_end"`     // entries in its log; -1: unknown
	LastHeard   time.Time `json:"last_heard"`  // when it last answered the leader; zero: unknown
	LastCaught  time.Time `json:"last_caught"` // when it last had all that the leader had, to a second or so; zero: unknown
}

// Quorum asks the controller. When it does not answer until ctx ends, or there is none, what this broker knows is returned: who the members are,
// and the end of its own log.
func (c *Controller) Quorum(ctx context.Context) (Quorum, error) {
	leader := c.leader()
	if leader == "" || c.Leads() || c.o.Forward == nil || !c.begin() {
		return c.quorumHere()
	}
	defer c.calls.Done()
	a, err := c.call(ctx, leader, []byte(askQuorum))
	if err != nil || a.Quorum == nil || a.Error != nil {
		return c.quorumHere()
	}
	return *a.Quorum, nil
}

// quorumHere describes the group as this member sees it.
func (c *Controller) quorumHere() (Quorum, error) {
	q := Quorum{Leader: c.Leader(), Epoch: int32(c.raft.CurrentTerm()), Committed: int64(c.raft.CommitIndex())}
	leads := c.Leads()
	if leads {
		c.caught.see(c)
	}
	for _, s := range c.servers() {
		m, err := c.member(s.ID, leads)
		if err != nil {
			return q, err
		}
		if s.Suffrage == raft.Voter {
			q.Voters = append(q.Voters, m)
		} else {
			q.Observers = append(q.Observers, m)
		}
	}
	return q, nil
}

func (c *Controller) member(id raft.ServerID, leads bool) (Member, error) {
	m := Member{LogEnd: -1}
	var incarnation string
	var err error
	if m.Broker, incarnation, err = splitServerID(id); err == nil {
		err = m.Incarnation.UnmarshalText([]byte(incarnation))
	}
	if err != nil {
		return m, fmt.Errorf("member %q of the controller group: %w", id, err)
	}
	switch {
	case id == c.store.server:
		m.LogEnd = int64(c.raft.LastIndex())
		if leads {
			m.LastHeard = time.Now()
			m.LastCaught = m.LastHeard
		}
	case leads:
		if index, at := c.net.Match(id); index > 0 {
			m.LogEnd, m.LastHeard = int64(index), at
		}
		m.LastCaught = c.caught.of(id)
	}
	return m, nil
}

// Transfer hands the leadership of the group to a voter; -1: to the one that is furthest. ErrNotController where this broker does not lead;
// ErrNoVoter; ErrTimeout when ctx ends first, or the group's time for that is over: then this broker leads on.
func (c *Controller) Transfer(ctx context.Context, to int32) error {
	if !c.begin() {
		return fmt.Errorf("%w: it is closing", ErrNotController)
	}
	if !c.Leads() {
		c.calls.Done()
		return fmt.Errorf("%w: broker %d is", ErrNotController, c.Leader())
	}
	id, err := c.successor(to)
	if err != nil {
		c.calls.Done()
		return err
	}
	done := make(chan error, 1)
	go func() {
		defer c.calls.Done()
		done <- c.handOver(id)
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("%w: controller to broker %d: %w", ErrTimeout, to, err)
		}
		return nil
	case <-ctx.Done():
		return timeout(ctx)
	}
}

// handOver has another voter lead, and returns when this broker does not lead any more. Commands are not taken meanwhile.
func (c *Controller) handOver(to raft.ServerID) error {
	c.net.handOver(c.raft.CurrentTerm())
	return c.raft.LeadershipTransferToServer(to, raft.ServerAddress(to)).Error()
}

// successor is the voter that is to lead.
func (c *Controller) successor(to int32) (raft.ServerID, error) {
	var best raft.ServerID
	var furthest uint64
	for _, s := range c.servers() {
		broker, _, err := splitServerID(s.ID)
		if err != nil || s.Suffrage != raft.Voter || s.ID == c.store.server || to >= 0 && broker != to || !c.alive(s.ID) {
			continue
		}
		if index, _ := c.net.Match(s.ID); best == "" || index > furthest {
			best, furthest = s.ID, index
		}
	}
	if best == "" {
		return "", fmt.Errorf("%w: %d", ErrNoVoter, to)
	}
	return best, nil
}
