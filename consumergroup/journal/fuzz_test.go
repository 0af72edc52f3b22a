package journal

import (
	"bytes"
	"testing"

	"github.com/quirelog/quire/segment/fuzz"
)

func FuzzDecode(f *testing.F) {
	for _, g := range goldenRecords(f) {
		f.Add(g.key, g.value)
	}
	f.Fuzz(func(t *testing.T, key, value []byte) { checkDecode(t, key, value) })
}

// checkDecode decodes anything; what was understood comes out the same again after it was written.
func checkDecode(t testing.TB, key, value []byte) {
	e, err := Decode(key, value)
	if err != nil {
		return
	}
	k, v, err := Encode(e)
	if err != nil {
		if len(value) < 1<<15 {
			t.Fatal(err)
		}
		return // a string that only compact lengths can tell
	}
	again, err := Decode(k, v)
	if err != nil {
		t.Fatal(err)
	}
	if k2, v2, err := Encode(again); err != nil || !bytes.Equal(k, k2) || !bytes.Equal(v, v2) {
		t.Fatalf("%x %x, then %x %x, %v", k, v, k2, v2, err)
	}
}

// An input is a byte that says how long the key is, the key and the value.
func TestDamagedRecords(t *testing.T) {
	var seeds [][]byte
	for _, g := range goldenRecords(t) {
		seeds = append(seeds, append(append([]byte{byte(len(g.key))}, g.key...), g.value...))
	}
	target := fuzz.Target{Runs: 40_000, Seeds: seeds, Do: func(t testing.TB, b []byte) {
		if len(b) > 0 {
			n := min(1+int(b[0]), len(b))
			checkDecode(t, b[1:n], b[n:])
		}
	}}
	target.Run(t)
}
