package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kbin"
)

var (
	errShort = errors.New("the record ends within a field")
	errNull  = errors.New("a field is null that must not be")
)

// coder walks over the fields of a key or a value in their order, and either reads them from b or appends them to b: so that each schema
// is written down once. After an error it does nothing more. What is read never refers to b.
type coder struct {
	b        []byte // what is left to read, or what has been written
	text     string // when not empty: b and what came before it, as a string that strings are cut from
	reading  bool
	flexible bool // compact lengths, and a section of tagged fields behind each struct (KIP-482)
	err      error
}

func (c *coder) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	if c.reading {
		c.b = nil
	}
}

// take reads n bytes. They are of the record.
func (c *coder) take(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.fail(errShort)
		return nil
	}
	b := c.b[:n]
	c.b = c.b[n:]
	return b
}

func (c *coder) int8(v *int8) {
	if !c.reading {
		c.b = append(c.b, byte(*v))
	} else if b := c.take(1); b != nil {
		*v = int8(b[0])
	}
}

func (c *coder) int16(v *int16) {
	if !c.reading {
		c.b = binary.BigEndian.AppendUint16(c.b, uint16(*v))
	} else if b := c.take(2); b != nil {
		*v = int16(binary.BigEndian.Uint16(b))
	}
}

func (c *coder) int32(v *int32) {
	if !c.reading {
		c.b = binary.BigEndian.AppendUint32(c.b, uint32(*v))
	} else if b := c.take(4); b != nil {
		*v = int32(binary.BigEndian.Uint32(b))
	}
}

func (c *coder) int64(v *int64) {
	if !c.reading {
		c.b = binary.BigEndian.AppendUint64(c.b, uint64(*v))
	} else if b := c.take(8); b != nil {
		*v = int64(binary.BigEndian.Uint64(b))
	}
}

func (c *coder) uuid(v *[16]byte) {
	if !c.reading {
		c.b = append(c.b, v[:]...)
	} else {
		copy(v[:], c.take(16))
	}
}

func (c *coder) uvarint() uint32 {
	v, n := kbin.Uvarint(c.b)
	if n <= 0 {
		c.fail(errShort)
		return 0
	}
	c.b = c.b[n:]
	return v
}

// length reads or writes the length of what follows; null is -1. wide says that a length that is not compact has four bytes, not two.
func (c *coder) length(n int, wide bool) int {
	switch {
	case c.flexible && c.reading:
		return int(c.uvarint()) - 1
	case c.flexible:
		c.b = kbin.AppendUvarint(c.b, uint32(n+1))
	case wide:
		l := int32(n)
		c.int32(&l)
		return int(l)
	default:
		if n > math.MaxInt16 {
			c.fail(fmt.Errorf("a string of %d bytes, the limit is %d", n, math.MaxInt16))
		}
		l := int16(n)
		c.int16(&l)
		return int(l)
	}
	return n
}

func (c *coder) string(v *string) {
	n := c.length(len(*v), false)
	switch {
	case !c.reading:
		c.b = append(c.b, *v...)
	case n < 0:
		c.fail(errNull)
	case c.text != "" && n <= len(c.b):
		*v = c.text[len(c.text)-len(c.b):][:n]
		c.b = c.b[n:]
	default:
		*v = string(c.take(n))
	}
}

func (c *coder) nullable(v **string) {
	if !c.reading {
		if *v == nil {
			c.length(-1, false)
		} else {
			c.string(*v)
		}
		return
	}
	if n := c.length(0, false); n >= 0 {
		s := string(c.take(n))
		*v = &s
	}
}

func (c *coder) bytes(v *[]byte) {
	n := c.length(len(*v), true)
	switch {
	case !c.reading:
		c.b = append(c.b, *v...)
	case n < 0:
		c.fail(errNull)
	default:
		*v = append([]byte(nil), c.take(n)...)
	}
}

// elements reads or writes the length of an array and returns the array, to walk over its elements. least is what an element takes at
// least on the wire: no count gets memory that the bytes behind it cannot fill.
func elements[T any](c *coder, v *[]T, least int) []T {
	n := c.length(len(*v), true)
	switch {
	case !c.reading:
	case n < 0:
		c.fail(errNull)
	case n > len(c.b)/least:
		c.fail(errShort)
	case n > 0:
		*v = make([]T, n)
	}
	return *v
}

func (c *coder) strings(v *[]string) {
	for i := range elements(c, v, 1) {
		c.string(&(*v)[i])
	}
}

func (c *coder) int32s(v *[]int32) {
	for i := range elements(c, v, 4) {
		c.int32(&(*v)[i])
	}
}

// nullableInt32s writes nil as an empty array, and reads null as nil.
func (c *coder) nullableInt32s(v *[]int32) {
	if c.reading && len(c.b) > 0 && c.b[0] == 0 {
		c.b = c.b[1:]
		return
	}
	c.int32s(v)
}

// tag is a tagged field that is being read or written.
type tag struct {
	rest  []byte // reading: what follows the field
	more  uint32 // reading: how many tagged fields follow
	start int    // writing: where the field begins
}

// openTag begins the tagged fields of a struct, of which tag 0 alone is known, and says whether it is there: then the caller goes over its
// fields and calls closeTag. present says whether to write it. Unknown tags are skipped.
func (c *coder) openTag(present bool) (tag, bool) {
	if c.reading {
		return c.findTag(c.uvarint())
	}
	if !present {
		c.b = append(c.b, 0)
		return tag{}, false
	}
	c.b = append(c.b, 1, 0) // one field, tag 0
	return tag{start: len(c.b)}, true
}

// findTag reads on to tag 0, or to the end of n tagged fields.
func (c *coder) findTag(n uint32) (tag, bool) {
	for ; n > 0 && c.err == nil; n-- {
		number, size := c.uvarint(), c.uvarint()
		body := c.take(int(size))
		if number == 0 && c.err == nil {
			t := tag{rest: c.b, more: n - 1}
			c.b = body
			return t, true
		}
	}
	return tag{}, false
}

func (c *coder) closeTag(t tag) {
	if c.reading {
		if c.err != nil {
			return
		}
		c.b = t.rest
		c.skipTags(t.more)
		return
	}
	var size [5]byte
	c.b = slices.Insert(c.b, t.start, kbin.AppendUvarint(size[:0], uint32(len(c.b)-t.start))...)
}

// noTags is the end of a struct without known tagged fields.
func (c *coder) noTags() {
	if c.reading {
		c.skipTags(c.uvarint())
	} else {
		c.b = append(c.b, 0)
	}
}

func (c *coder) skipTags(n uint32) {
	for ; n > 0 && c.err == nil; n-- {
		c.uvarint()
		c.take(int(c.uvarint()))
	}
}
