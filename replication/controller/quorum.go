package controller

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/raft"
)

// Quorum is the controller group as this member sees it.
type Quorum struct {
	Leader    int32 // broker id; -1: unknown
	Epoch     int32 // Raft's term
	Committed int64 // entries of the log that are committed
	Voters    []Member
}

// Member is one broker of the controller group.
type Member struct {
	Broker      int32
	Incarnation TopicID // of its data directory
	LogEnd      int64   // entries in its log; -1: unknown
}

// Quorum describes the group. It reads this member's state only and waits for nobody.
func (c *Controller) Quorum() (Quorum, error) {
	q := Quorum{Leader: c.Leader(), Epoch: int32(c.raft.CurrentTerm()), Committed: int64(c.raft.CommitIndex())}
	members := c.raft.GetConfiguration()
	if err := members.Error(); err != nil {
		return q, fmt.Errorf("members of the controller group: %w", err)
	}
	for _, server := range members.Configuration().Servers {
		if server.Suffrage != raft.Voter {
			continue
		}
		m := Member{LogEnd: -1}
		id, incarnation, _ := strings.Cut(string(server.ID), "-")
		n, err := strconv.ParseInt(id, 10, 32)
		if err == nil {
			err = m.Incarnation.UnmarshalText([]byte(incarnation))
		}
		if err != nil {
			return q, fmt.Errorf("member %q of the controller group: %w", server.ID, err)
		}
		if m.Broker = int32(n); server.ID == c.store.server {
			m.LogEnd = int64(c.raft.LastIndex())
		}
		q.Voters = append(q.Voters, m)
	}
	return q, nil
}
