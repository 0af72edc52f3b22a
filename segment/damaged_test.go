package segment

import (
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/quirelog/quire/segment/fuzz"
)

// mendIndex makes every checksum of an index right.
func mendIndex(b []byte) {
	for at, n := 0, indexHeaderSize; at+n <= len(b); at, n = at+n, indexEntrySize {
		le.PutUint32(b[at+n-4:], crc32.Checksum(b[at:at+n-4], castagnoli))
	}
}

// mendSideFile makes every checksum of a side file right, as far as its lengths are.
func mendSideFile(b []byte) {
	if len(b) < sideHeaderSize {
		return
	}
	copy(b, appendSideHeader(nil, 0))
	for b = b[sideHeaderSize:]; len(b) >= sideRecordSize; {
		n := uint64(sideRecordSize) + uint64(le.Uint32(b[4:]))
		if n > uint64(len(b)) {
			return
		}
		le.PutUint32(b, crc32.Checksum(b[4:n], castagnoli))
		b = b[n:]
	}
}

// mendSealed makes the checksum of a checkpoint or marker right.
func mendSealed(b []byte) {
	if len(b) >= 4 {
		copy(b[len(b)-4:], seal(b[: len(b)-4 : len(b)-4])[len(b)-4:])
	}
}

func TestDamagedFiles(t *testing.T) {
	for name, g := range map[string]fuzz.Target{
		"index": {Runs: 150_000, Seeds: [][]byte{goodIndex()}, Mend: mendIndex,
			Do: func(t testing.TB, b []byte) { checkIndex(t, b, 2) }},
		"side file":  {Runs: 150_000, Seeds: [][]byte{goodSideFile()}, Mend: mendSideFile, Do: checkSideFile},
		"checkpoint": {Runs: 150_000, Seeds: goodCheckpoints(), Mend: mendSealed, Do: checkCheckpoint},
	} {
		t.Run(name, g.Run)
	}
}

// The first byte of an input says which file the rest is, and which of the others are missing. Files that are wrong under right
// checksums are no damage that a disk does: the log must only survive them.
func TestDamagedDirectories(t *testing.T) {
	files := goodFiles(t)
	menders := []func([]byte){func([]byte) {}, mendSideFile, mendSealed, mendSealed, mendIndex}
	g := fuzz.Target{Runs: 5_000, Allowance: 64 << 20}
	forged := false
	g.Make = func(r *rand.Rand) []byte {
		forged = false
		which := r.IntN(len(files))
		missing := 0
		if r.IntN(2) == 0 {
			missing = r.IntN(1 << len(files))
		}
		return append([]byte{byte(which | missing<<3)}, files[which]...)
	}
	g.Mend = func(b []byte) {
		if len(b) > 0 {
			which := int(b[0]&7) % len(menders)
			menders[which](b[1:])
			forged = which > 0
		}
	}
	g.Do = func(t testing.TB, b []byte) {
		if len(b) == 0 {
			return
		}
		which := int(b[0]&7) % len(files)
		set := make([][]byte, len(files))
		for i := range set {
			switch {
			case i == which:
				set[i] = b[1:]
			case b[0]>>3&(1<<i) == 0:
				set[i] = files[i]
			}
		}
		checkRecover(t, set, forged)
	}
	g.Run(t)
}
