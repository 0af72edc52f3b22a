package crashfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// Recover returns the file system as it may be found when power is lost at this moment, or was at CrashAt's operation;
// seed picks among the possible states, 0 the one that has nothing but what is surely durable. f stays as it is, so that
// several seeds can be tried.
func (f *FS) Recover(seed uint64) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := &recovery{rng: rand.New(rand.NewPCG(seed, 0x7175697265)), none: seed == 0, names: make(map[*node]map[string]*node)}
	r.decideNames(f.pending)
	found := New()
	found.root = r.node(f.root)
	found.free, found.total = f.free, f.total
	return found
}

// recovery is one possible outcome of a power loss. The order in which rng is asked must not depend on maps.
type recovery struct {
	rng   *rand.Rand
	none  bool // nothing undurable is kept
	names map[*node]map[string]*node
}

// decideNames keeps a prefix of the pending changes, as a journal does, or any of them.
func (r *recovery) decideNames(pending []*nameOp) {
	if r.none {
		return
	}
	prefix := r.rng.IntN(2) == 0
	kept := r.rng.IntN(len(pending) + 1)
	for i, o := range pending {
		if prefix && i < kept || !prefix && r.rng.IntN(2) == 0 {
			o.apply(r.namesOf)
		}
	}
}

func (r *recovery) namesOf(dir *node) map[string]*node {
	if r.names[dir] == nil {
		r.names[dir] = maps.Clone(dir.durable)
	}
	return r.names[dir]
}

// node copies what is found of n and all below it.
func (r *recovery) node(n *node) *node {
	if n.entries == nil {
		c := newFile()
		c.disk = r.content(n)
		c.data = slices.Clone(c.disk)
		c.cut = len(c.data)
		return c
	}
	c := newDir()
	names := r.namesOf(n)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		c.entries[name] = r.node(names[name])
	}
	c.durable = maps.Clone(c.entries)
	return c
}

// content is what is found of a file: all of the undurable changes, none, those up to a point, or any.
func (r *recovery) content(n *node) []byte {
	base := slices.Clone(n.disk)
	if r.none {
		return base
	}
	kind := r.rng.IntN(4)
	if kind == 0 {
		return base
	}
	if kind == 1 || n.cut >= len(n.disk) || r.rng.IntN(2) == 0 {
		base = resized(base, min(n.cut, len(base))) // the truncation has happened
	} else {
		// It has not, so nothing that was written above it later is there either.
		return r.sectors(base, n, kind, n.cut)
	}
	size := len(n.data)
	if kind != 1 && size > len(base) && r.rng.IntN(2) == 0 {
		size = r.between(len(base), size)
	}
	return r.sectors(resized(base, size), n, kind, size)
}

// between is a size from lo to hi, at a sector's end or one of the two.
func (r *recovery) between(lo, hi int) int {
	at := (lo/sectorSize + r.rng.IntN((hi-lo)/sectorSize+2)) * sectorSize
	return min(max(at, lo), hi)
}

// sectors copies dirty sectors that begin below limit over base.
func (r *recovery) sectors(base []byte, n *node, kind, limit int) []byte {
	list := slices.Sorted(maps.Keys(n.dirty))
	kept := r.rng.IntN(len(list) + 1)
	for i, s := range list {
		keep := kind == 1 || kind == 2 && i < kept || kind == 3 && r.rng.IntN(2) == 0
		if keep && s*sectorSize < limit {
			copySector(base, n.data, s)
		}
	}
	return base
}
