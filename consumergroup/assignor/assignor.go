// Package assignor computes target assignments of consumer groups (KIP-848): pure functions, sticky by construction.
package assignor

// Member is what an assignor knows of a member.
type Member struct {
	ID         string
	InstanceID string     // "": dynamic
	Topics     [][16]byte // subscribed to, that exist
	// Owned is the member's part of the last target assignment.
	Owned map[[16]byte][]int32
}

// Input is a group to assign. Assignors do not change it.
type Input struct {
	Members    []Member
	Partitions map[[16]byte]int // of each topic that somebody is subscribed to
}

// Assignment is the partitions of each member, sorted.
type Assignment map[string]map[[16]byte][]int32

// Assignor computes an assignment.
type Assignor interface {
	Name() string
	Assign(in Input) Assignment
}

// All lists the server-side assignors; the first is the default.
func All() []Assignor { panic("unimplemented") }
