package classic

// What a group holds in memory beside the bytes that clients sent, about.
const (
	memberBytes  = 600
	pendingBytes = 200
)

// Bytes is about the memory that the group holds.
func (g *Group) Bytes() int {
	return g.bytes + g.given + len(g.members)*memberBytes + len(g.pending)*pendingBytes
}

// MemberBytes is about the memory of what a member offers; 0 where there is none of the id.
func (g *Group) MemberBytes(id string) int {
	if m, ok := g.byID[id]; ok {
		return memberBytes + m.size()
	}
	return 0
}

// AssignedBytes is the memory of all assignments.
func (g *Group) AssignedBytes() int { return g.given }

// measure counts the assignments anew.
func (g *Group) measure() {
	g.given = 0
	for _, m := range g.members {
		g.given += len(m.Assignment)
	}
}
