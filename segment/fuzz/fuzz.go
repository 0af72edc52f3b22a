// Package fuzz feeds decoders with damaged inputs, by the million and from a seed: the bounded form of `go test -fuzz`, for
// every run of the tests. It knows no coverage; what it has instead are valid inputs to begin with, the kinds of damage that
// formats with lengths and counts are prone to, and limits on time and memory.
package fuzz

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"sync"
	"testing"
	"time"
)

const (
	// million is what the runs of all targets are shares of.
	million = 1_000_000

	// group is how many executions are measured together.
	group = 16

	// longest bounds the executions of one group. It finds what hangs or is quadratic; on a busy machine a group that takes
	// microseconds may well be interrupted for a fraction of it.
	longest = 10 * time.Second

	allocPerByte     = 64
	defaultAllowance = 1 << 20
)

// Target is a function that takes hostile bytes.
type Target struct {
	// Runs is the target's share of a million executions. QUIRE_FUZZ_RUNS sets the total of all targets in its place.
	Runs int

	// Seeds are valid inputs. Make, if set, is called instead for a new one.
	Seeds [][]byte
	Make  func(r *rand.Rand) []byte

	// Intact is how many of eight inputs are left as they are; 0: one. More reach what lies behind the first check.
	Intact int

	// Mend, if set, makes the checksums of every second input right again.
	Mend func(b []byte)

	// Do may panic, hang, allocate or fail t: all are reported with the input. b is overwritten after it has returned.
	Do func(t testing.TB, b []byte)

	// Allowance is how many bytes 16 executions may allocate together, beside 64 for each byte of input; 0: 1 MiB.
	Allowance uint64
}

// seed is one for all targets of a process. It is printed even when the process dies.
var seed = sync.OnceValue(func() uint64 {
	n, err := strconv.ParseUint(os.Getenv("QUIRE_FUZZ_SEED"), 10, 64)
	if err != nil {
		n = uint64(time.Now().UnixNano())
	}
	fmt.Printf("QUIRE_FUZZ_SEED=%d\n", n)
	return n
})

// Rand is a source for a test of its own choice of inputs: from the same seed, and apart from other tests.
func Rand(t testing.TB) *rand.Rand {
	name := fnv.New64a()
	_, _ = name.Write([]byte(t.Name()))
	return rand.New(rand.NewPCG(seed(), name.Sum64()))
}

// runs scales a share of a million by QUIRE_FUZZ_RUNS.
func runs(share int) int {
	total, err := strconv.Atoi(os.Getenv("QUIRE_FUZZ_RUNS"))
	if err != nil {
		return share
	}
	return int(float64(share) / million * float64(total))
}

// Run executes the target. It stops at the first failure.
func (g *Target) Run(t *testing.T) {
	t.Helper()
	in := &inputs{target: g, r: Rand(t)}
	began, n := time.Now(), runs(g.Runs)
	for done := 0; done < n && !t.Failed(); done += group {
		g.group(t, in, min(group, n-done))
	}
	took := time.Since(began)
	t.Logf("%d executions in %v, %v each", n, took.Round(time.Millisecond), took/time.Duration(max(n, 1)))
}

// group runs n executions and checks what they took.
func (g *Target) group(t *testing.T, in *inputs, n int) {
	began, before, bytes := time.Now(), allocated(), 0
	for range n {
		b := in.next()
		bytes += len(b)
		if g.once(t, b); t.Failed() {
			return
		}
	}
	limit := cmp.Or(g.Allowance, defaultAllowance) + allocPerByte*uint64(bytes)
	if got := allocated() - before; got > limit {
		t.Errorf("%d executions allocated %d bytes, the limit for %d bytes of input is %d; the last input: %s", n, got, bytes, limit, quote(in.buf))
	}
	if took := time.Since(began); took > longest {
		t.Errorf("%d executions took %v; the last input: %s", n, took, quote(in.buf))
	}
}

// once runs one execution; also one that ends by t.Fatal tells its input.
func (g *Target) once(t *testing.T, b []byte) {
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		if t.Failed() {
			t.Errorf("the input: %s", quote(b))
		}
	}()
	g.Do(t, b)
}

func quote(b []byte) string {
	const most = 8 << 10
	if len(b) > most {
		return fmt.Sprintf("%q and %d bytes more", b[:most], len(b)-most)
	}
	return strconv.Quote(string(b))
}

// allocated is what the process has allocated so far. Small objects are counted a span at a time.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
