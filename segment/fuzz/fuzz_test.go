package fuzz

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// The same seed makes the same inputs; they differ from each other, stay within their size, and some are left alone.
func TestInputs(t *testing.T) {
	target := &Target{Seeds: [][]byte{bytes.Repeat([]byte("seed"), 30), {}, make([]byte, maxInput)}}
	make2 := func() *inputs { return &inputs{target: target, r: rand.New(rand.NewPCG(1, 2))} }
	a, b := make2(), make2()
	seen, untouched := map[string]bool{}, 0
	for range 5000 {
		got := a.next()
		if !bytes.Equal(got, b.next()) {
			t.Fatal("two sequences from one seed differ")
		}
		if len(got) > maxInput {
			t.Fatalf("%d bytes", len(got))
		}
		for _, s := range target.Seeds {
			if bytes.Equal(got, s) {
				untouched++
			}
		}
		seen[string(got)] = true
	}
	if len(seen) < 2000 || untouched < 500 || untouched > 1500 {
		t.Errorf("%d different inputs of 5000, %d valid ones", len(seen), untouched)
	}
}

func TestMend(t *testing.T) {
	mended := 0
	g := &Target{Runs: 1000, Seeds: [][]byte{make([]byte, 100)}, Mend: func([]byte) { mended++ }, Do: func(testing.TB, []byte) {}}
	g.Run(t)
	if n := runs(g.Runs); n > 100 && (mended < n/3 || mended > n*2/3) {
		t.Errorf("%d of %d mended", mended, n)
	}
}

func TestRunsAreAShare(t *testing.T) {
	for total, want := range map[string]int{"": 50_000, "x": 50_000, "2000000": 100_000, "100": 5} {
		t.Setenv("QUIRE_FUZZ_RUNS", total)
		if got := runs(50_000); got != want {
			t.Errorf("%q: %d, want %d", total, got, want)
		}
	}
}

// What allocates is found: the counter sees it.
func TestAllocated(t *testing.T) {
	before := allocated()
	kept = make([]byte, 5<<20)
	if got := allocated() - before; got < 5<<20 {
		t.Errorf("%d bytes", got)
	}
}

var kept []byte
