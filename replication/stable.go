package replication

import (
	"errors"
	"fmt"
)

// stableStore is one group's view of the votes file as hashicorp/raft's StableStore.
type stableStore struct {
	votes *votes
	id    GroupID
}

// The keys that hashicorp/raft uses.
const (
	keyCurrentTerm  = "CurrentTerm"
	keyLastVoteTerm = "LastVoteTerm"
	keyLastVoteCand = "LastVoteCand"
)

// errMiss must read exactly so: the library compares the text.
var errMiss = errors.New("not found")

// Set returns when the value is durable.
func (s stableStore) Set(key, value []byte) error {
	if string(key) != keyLastVoteCand {
		return fmt.Errorf("votes hold no key %q", key)
	}
	return s.votes.update(s.id, func(v *vote) { v.candidate = string(value) })
}

// Get returns "not found" where nothing was set.
func (s stableStore) Get(key []byte) ([]byte, error) {
	if v, _ := s.votes.get(s.id); string(key) == keyLastVoteCand && v.candidate != "" {
		return []byte(v.candidate), nil
	}
	return nil, errMiss
}

// SetUint64 returns when the value is durable.
func (s stableStore) SetUint64(key []byte, value uint64) error {
	switch string(key) {
	case keyCurrentTerm:
		return s.votes.update(s.id, func(v *vote) { v.term = value })
	case keyLastVoteTerm:
		return s.votes.update(s.id, func(v *vote) { v.voteTerm = value })
	}
	return fmt.Errorf("votes hold no key %q", key)
}

// GetUint64 returns "not found" where nothing was set.
func (s stableStore) GetUint64(key []byte) (uint64, error) {
	v, _ := s.votes.get(s.id)
	switch {
	case string(key) == keyCurrentTerm && v.term > 0:
		return v.term, nil
	case string(key) == keyLastVoteTerm && v.voteTerm > 0:
		return v.voteTerm, nil
	}
	return 0, errMiss
}
