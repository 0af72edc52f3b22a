package broker

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// checkBody walks over a request's body before it is decoded: what it announces is there, and within maxElements. A
// key without a shape passes: only tests serve one.
func checkBody(msg kmsg.Request, body []byte) error {
	s, ok := shapes[kmsg.Key(msg.Key())]
	if !ok {
		return nil
	}
	w := walker{b: body, version: msg.GetVersion(), flexible: msg.IsFlexible()}
	w.walk(s)
	return w.err
}

// walker steps over the structs of the Kafka protocol. After an error it stays where it is.
type walker struct {
	b        []byte
	version  int16
	flexible bool
	elements int // of arrays, so far
	err      error
}

// walk steps over a struct and its tag section.
func (w *walker) walk(s shape) {
	for i := range s {
		f := &s[i]
		if w.err == nil && w.version >= f.min && w.version <= f.max {
			w.field(f)
		}
	}
	w.skipTags(s)
}

func (w *walker) field(f *shapeField) {
	switch f.kind {
	case fixedField:
		w.skip(f.size)
	case stringField:
		w.skip(w.length(2))
	case bytesField:
		w.skip(w.length(4))
	case primitiveArray:
		for n := w.arrayLen(); n > 0 && w.err == nil; n-- {
			w.field(&f.sub[0])
		}
	case structArray:
		for n := w.arrayLen(); n > 0 && w.err == nil; n-- {
			w.walk(f.sub)
		}
	case nullableStruct:
		present := len(w.b) > 0 && int8(w.b[0]) >= 0
		if w.skip(1); present {
			w.walk(f.sub)
		}
	}
}

func (w *walker) skip(n int) {
	if w.err != nil {
		return
	}
	if n < 0 || n > len(w.b) {
		w.err = errTruncated
		return
	}
	w.b = w.b[n:]
}

// length reads a length: compact in flexible versions, else width bytes wide. Null is 0.
func (w *walker) length(width int) int {
	if w.err != nil {
		return 0
	}
	if w.flexible {
		var v uint32
		v, w.b, w.err = cutUvarint(w.b)
		return max(int(v)-1, 0)
	}
	if len(w.b) < width {
		w.err = errTruncated
		return 0
	}
	var n int
	if width == 2 {
		n = int(int16(binary.BigEndian.Uint16(w.b)))
	} else {
		n = int(int32(binary.BigEndian.Uint32(w.b)))
	}
	w.b = w.b[width:]
	return max(n, 0)
}

// arrayLen reads an array's count: every element is a byte at least.
func (w *walker) arrayLen() int {
	n := w.length(4)
	w.elements += n
	switch {
	case w.err != nil:
		return 0
	case n > len(w.b):
		w.err = errTruncated
		return 0
	case w.elements > maxElements:
		w.err = fmt.Errorf("request has more than %d array elements", maxElements)
		return 0
	}
	return n
}

// skipTags steps over a struct's tag section (KIP-482) and into the tags that are structs themselves.
func (w *walker) skipTags(s shape) {
	if !w.flexible || w.err != nil {
		return
	}
	w.b, w.err = eachTag(w.b, func(tag uint32, content []byte) error {
		for i := range s {
			if f := &s[i]; f.kind == taggedStruct && f.tag == tag && w.version >= f.min {
				inner := walker{b: content, version: w.version, flexible: true}
				inner.walk(f.sub)
				return inner.err
			}
		}
		return nil
	})
}
