// Package assignor computes target assignments of consumer groups (KIP-848): pure functions, sticky by construction.
package assignor

import (
	"cmp"
	"slices"
)

// Member is what an assignor knows of a member.
type Member struct {
	ID         string
	InstanceID string     // "": dynamic
	Topics     [][16]byte // subscribed to, that exist; none twice
	// Owned is the member's part of the last target assignment.
	Owned map[[16]byte][]int32
}

// Input is a group to assign. Assignors do not change it.
type Input struct {
	Members    []Member
	Partitions map[[16]byte]int // of each topic that somebody is subscribed to
}

// Assignment is the partitions of each member, sorted. Every member of the input is in it, with an empty map where it gets nothing.
type Assignment map[string]map[[16]byte][]int32

// Assignor computes an assignment: every partition goes to exactly one member that is subscribed to its topic. It depends on nothing but the
// input, and not on the order of its members or topics. Topics that Input.Partitions does not know are passed over.
type Assignor interface {
	Name() string
	Assign(in Input) Assignment
}

// All lists the server-side assignors; the first is the default.
func All() []Assignor { return []Assignor{Uniform{}, Range{}} }

// inOrder is the members in the order in which partitions are given out: static ones first, so that they get the same after they were
// restarted with another member id.
func inOrder(members []Member) []*Member {
	sorted := make([]*Member, len(members))
	for i := range members {
		sorted[i] = &members[i]
	}
	slices.SortFunc(sorted, func(a, b *Member) int {
		if (a.InstanceID == "") != (b.InstanceID == "") {
			return cmp.Compare(b.InstanceID, a.InstanceID)
		}
		return cmp.Or(cmp.Compare(a.InstanceID, b.InstanceID), cmp.Compare(a.ID, b.ID))
	})
	return sorted
}
