package bench

import "slices"

// maxRanges bounds the gaps that are remembered.
const maxRanges = 4096

// span is the numbers from from up to and without to.
type span struct{ from, to uint64 }

// ranges is a set of numbers. What is added lies above all that was added before.
//
// Always: spans are not empty, in order, and do not touch; there are at most maxRanges. The lowest are given up for new ones: they
// still count, and can no longer be removed.
type ranges struct {
	spans   []span
	givenUp uint64
}

func (r *ranges) add(from, to uint64) {
	if n := len(r.spans); n > 0 && r.spans[n-1].to == from {
		r.spans[n-1].to = to
		return
	}
	if len(r.spans) == maxRanges {
		r.givenUp += r.spans[0].to - r.spans[0].from
		r.spans = slices.Delete(r.spans, 0, 1)
	}
	r.spans = append(r.spans, span{from, to})
}

// remove takes n out of the set and reports whether it was in it.
func (r *ranges) remove(n uint64) bool {
	i, _ := slices.BinarySearchFunc(r.spans, n, func(s span, n uint64) int {
		if s.to <= n {
			return -1
		}
		return 1
	})
	if i == len(r.spans) || n < r.spans[i].from {
		return false
	}
	s := r.spans[i]
	var left []span
	if s.from < n {
		left = append(left, span{s.from, n})
	}
	if n+1 < s.to {
		left = append(left, span{n + 1, s.to})
	}
	r.spans = slices.Replace(r.spans, i, i+1, left...)
	if len(r.spans) > maxRanges {
		r.givenUp += r.spans[0].to - r.spans[0].from
		r.spans = slices.Delete(r.spans, 0, 1)
	}
	return true
}

func (r *ranges) count() uint64 {
	n := r.givenUp
	for _, s := range r.spans {
		n += s.to - s.from
	}
	return n
}
