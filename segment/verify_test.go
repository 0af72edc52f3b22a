package segment

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/quirelog/quire/segment/batch"
)

func someBatches(t testing.TB, n int) []byte {
	t.Helper()
	var all []byte
	next := batch.Offset(7)
	for i := range n {
		b, err := (&batch.Builder{}).Build([]batch.Record{{Value: bytes.Repeat([]byte{byte(i)}, 10+i*37%400)}, {Offset: 1, Value: []byte("v")}})
		if err != nil {
			t.Fatal(err)
		}
		batch.Stamp(b, next, 3)
		next += 2
		all = append(all, b...)
	}
	return all
}

// Batches are found whole in whatever pieces they come, and any flipped bit is found before the end of its batch has been passed, but in the leader epoch,
// which has no checksum.
func TestVerifier(t *testing.T) {
	good := someBatches(t, 20)
	r := rand.New(rand.NewPCG(1, 2))
	pass := func(b []byte) (passed int, err error) {
		v := verifier{next: 7}
		for len(b) > 0 {
			n := min(len(b), 1+r.IntN(200))
			if err := v.check(b[:n], n == len(b)); err != nil {
				return passed, err
			}
			passed, b = passed+n, b[n:]
		}
		return passed, nil
	}
	for range 200 {
		if _, err := pass(good); err != nil {
			t.Fatal(err)
		}
	}
	ends := []int{0}
	for rest := good; len(rest) > 0; {
		h, err := batch.ParseHeader(rest)
		if err != nil {
			t.Fatal(err)
		}
		ends, rest = append(ends, ends[len(ends)-1]+h.Size()), rest[h.Size():]
	}
	for at := range good {
		k := 0
		for ends[k+1] <= at {
			k++
		}
		end := ends[k+1]
		switch in := at - ends[k]; {
		case in >= 12 && in < 16:
			continue // the leader epoch
		case in >= 8 && in < 12:
			end = len(good) // the length
		}
		bad := bytes.Clone(good)
		bad[at] ^= 1 << r.IntN(8)
		if passed, err := pass(bad); !errors.Is(err, ErrDamaged) || passed >= end {
			t.Fatalf("a bit of byte %d, batch %d up to %d: %d bytes passed, %v", at, k, end, passed, err)
		}
	}
}

func BenchmarkVerifier(b *testing.B) {
	one, err := (&batch.Builder{}).Build([]batch.Record{{Value: make([]byte, 64<<10)}})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(one)))
	for b.Loop() {
		v := verifier{}
		if err := v.check(one, true); err != nil {
			b.Fatal(err)
		}
	}
}
