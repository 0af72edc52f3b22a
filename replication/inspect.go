package replication

import (
	"errors"
	"fmt"
	"os"

	"github.com/hashicorp/raft"

	"github.com/quirelog/quire/replication/boltcheck"
	"github.com/quirelog/quire/segment"
)

// CheckpointState is what a group keeps in a checkpoint, for people to look at.
type CheckpointState struct {
	ConfigIndex segment.Index `json:"config_index"` // of the entry that the configuration comes from
	Voters      []ServerID    `json:"voters"`
	Others      []ServerID    `json:"others,omitempty"` // learners
	Machine     []byte        `json:"-"`                // the partition's own
}

// DecodeCheckpointState decodes segment.Checkpoint.State.
func DecodeCheckpointState(b []byte) (CheckpointState, error) {
	s, err := decodeState(b)
	if err != nil {
		return CheckpointState{}, err
	}
	c := CheckpointState{ConfigIndex: s.configIndex, Machine: s.machine}
	for _, server := range s.config.Servers {
		if server.Suffrage == raft.Voter {
			c.Voters = append(c.Voters, ServerID(server.ID))
		} else {
			c.Others = append(c.Others, ServerID(server.ID))
		}
	}
	return c, nil
}

// VotesFile is the votes file's name in the data directory.
const VotesFile = "votes.db"

// VoteRecord is what a closed votes file holds of a group.
type VoteRecord struct {
	ID           GroupID
	Term         uint64
	VoteTerm     uint64
	Candidate    string
	Bootstrapped bool // the group has had a log
	At           int64
}

// ExamineVotes checks a votes file that nobody has open, and writes nothing. Where the file's structure is damaged, votes has what
// comes before.
func ExamineVotes(name string) (votes []VoteRecord, faults []segment.Fault, err error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, nil, err
	}
	fault := func(at int64, problem string) {
		faults = append(faults, segment.Fault{File: VotesFile, At: at, Problem: problem})
	}
	bad := boltcheck.Walk(b, func(p boltcheck.Pair) error {
		if p.Bucket != string(voteBucket) {
			fault(p.At, fmt.Sprintf("bucket %q is unknown", p.Bucket))
			return nil
		}
		id, v, err := decodeVote(p.Key, p.Value)
		if err != nil {
			fault(p.At, err.Error())
			return nil
		}
		votes = append(votes, VoteRecord{id, v.term, v.voteTerm, v.candidate, v.bootstrapped, p.At})
		return nil
	})
	if bad == nil {
		bad = boltcheck.CheckMetas(b)
	}
	if d, ok := errors.AsType[*boltcheck.Damage](bad); ok {
		fault(d.At, d.Problem)
	}
	return votes, faults, nil
}
