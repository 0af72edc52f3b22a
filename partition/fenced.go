package partition

import (
	"context"
	"errors"
)

// ErrNotFenced: the replica is not fenced, or for another reason than was said.
var ErrNotFenced = errors.New("the replica is not fenced")

// Fence is a replica that is not to be served or to vote. Reason stays the same while it is fenced.
type Fence struct {
	ID     ID
	Topic  string
	Reason string
}

// Fenced lists the fenced replicas.
func (m *Manager) Fenced() []Fence { return nil }

// Reset replaces a fenced replica by an empty one that joins its group anew. Only whoever knows that the group has it no longer as a member may
// call it. reason is the one that Fenced told. Errors: ErrNotFenced.
func (m *Manager) Reset(ctx context.Context, id ID, reason string) error {
	return errors.New("not built yet")
}
