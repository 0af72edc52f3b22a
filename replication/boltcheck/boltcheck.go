// Package boltcheck reads a bbolt file as it lies there, checking every reference and length first: bbolt itself maps the file
// and panics, or worse, on a damaged one. It writes nothing and takes no lock.
package boltcheck

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
)

// Pair is a key of a top-level bucket with its value; At is the value's place in the file.
type Pair struct {
	Bucket     string
	Key, Value []byte
	At         int64
}

// Damage is the first thing in a file that does not check.
type Damage struct {
	At      int64
	Problem string
}

func (d *Damage) Error() string { return fmt.Sprintf("byte %d: %s", d.At, d.Problem) }

func damage(at int, format string, args ...any) error {
	return &Damage{At: int64(at), Problem: fmt.Sprintf(format, args...)}
}

const (
	metaMagic   = 0xED0CDAED
	metaVersion = 2
	metaSize    = 64 // with its checksum
	pageHeader  = 16
	elementSize = 16
	bucketSize  = 16 // header of a bucket: root page and sequence

	flagBranch = 1
	flagLeaf   = 2
	flagMeta   = 4

	leafBucket = 1 // flag of a leaf's element
)

var le = binary.LittleEndian

// file is a bbolt file. seen keeps a page from being visited twice: in a good file none is.
type file struct {
	b    []byte
	page int
	high uint64 // pages in use are below
	seen map[uint64]bool
	fn   func(Pair) error
}

// Walk calls fn for every pair of every bucket of the file in b, and checks the structure of all pages that hold them. The error is
// a *Damage, or fn's. Only the newest state is looked at; data pages have no checksums, so what still makes sense is taken.
func Walk(b []byte, fn func(Pair) error) error {
	root, f, err := open(b)
	if err != nil {
		return err
	}
	f.fn = fn
	return f.tree("", root, false)
}

// open finds the newer one of the two meta pages; one alone may be torn by a crash.
func open(b []byte) (root uint64, f *file, err error) {
	newest, at := uint64(0), -1
	for _, place := range metaPlaces {
		if m, ok := meta(b, place); ok && (at < 0 || le.Uint64(m[48:]) > newest) {
			newest, at = le.Uint64(m[48:]), place
		}
	}
	if at < 0 {
		return 0, nil, damage(0, "neither meta page checks")
	}
	m, _ := meta(b, at)
	f = &file{b: b, page: int(le.Uint32(m[8:])), high: le.Uint64(m[40:]), seen: map[uint64]bool{}}
	if f.page < 1024 || f.page > 1<<16 {
		return 0, nil, damage(at+pageHeader+8, "page size %d", f.page)
	}
	if used := f.high * uint64(f.page); used/uint64(f.page) != f.high || used > uint64(len(b)) {
		return 0, nil, damage(len(b), "the file ends here, it has %d pages of %d bytes", f.high, f.page)
	}
	return le.Uint64(m[16:]), f, nil
}

// metaPlaces are where meta pages may begin: the first page, and the second one for every page size there is.
var metaPlaces = []int{0, 1024, 2048, 4096, 8192, 16384, 32768, 65536}

func meta(b []byte, at int) ([]byte, bool) {
	if len(b) < at+pageHeader+metaSize || le.Uint16(b[at+8:]) != flagMeta {
		return nil, false
	}
	m := b[at+pageHeader:][:metaSize]
	sum := fnv.New64a()
	sum.Write(m[:metaSize-8]) // never fails
	return m, le.Uint32(m) == metaMagic && le.Uint32(m[4:]) == metaVersion && le.Uint64(m[metaSize-8:]) == sum.Sum64()
}

// CheckMetas tells of a meta page that does not check. A crash while it was being written leaves one, and the other one counts.
func CheckMetas(b []byte) error {
	_, f, err := open(b)
	if err != nil {
		return err
	}
	for _, at := range []int{0, f.page} {
		if _, ok := meta(b, at); !ok {
			return damage(at, "this meta page does not check, the other one does")
		}
	}
	return nil
}

// tree visits the page id and those below it. nested says that it belongs to a bucket, which holds pairs and no more buckets.
func (f *file) tree(bucket string, id uint64, nested bool) error {
	if id < 2 || id >= f.high {
		return damage(int(min(id, f.high))*f.page, "reference to page %d of %d", id, f.high)
	}
	at := int(id) * f.page
	size := (int64(le.Uint32(f.b[at+12:])) + 1) * int64(f.page)
	switch {
	case f.seen[id]:
		return damage(at, "page %d is used twice", id)
	case le.Uint64(f.b[at:]) != id:
		return damage(at, "page %d says that it is page %d", id, le.Uint64(f.b[at:]))
	case size > int64(len(f.b)-at):
		return damage(at+12, "page %d has %d bytes, %d are left", id, size, len(f.b)-at)
	}
	f.seen[id] = true
	return f.elements(bucket, at, int(size), nested)
}

// elements visits what a page lists, which begins at byte at and has size bytes.
func (f *file) elements(bucket string, at, size int, nested bool) error {
	flags, count := le.Uint16(f.b[at+8:]), int(le.Uint16(f.b[at+10:]))
	if flags != flagBranch && flags != flagLeaf {
		return damage(at+8, "page of kind %#x where data must be", flags)
	}
	if pageHeader+count*elementSize > size {
		return damage(at+10, "%d elements in a page of %d bytes", count, size)
	}
	var before []byte
	for i := range count {
		e := at + pageHeader + i*elementSize
		var err error
		if before, err = f.element(bucket, flags, e, at+size, before, nested); err != nil {
			return err
		}
	}
	return nil
}

// element visits the element at byte e of a page that ends at limit, and returns its key.
func (f *file) element(bucket string, flags uint16, e, limit int, before []byte, nested bool) ([]byte, error) {
	pos, keySize, valueSize := int64(le.Uint32(f.b[e+4:])), int64(le.Uint32(f.b[e+8:])), int64(le.Uint32(f.b[e+12:]))
	if flags == flagBranch {
		pos, keySize, valueSize = int64(le.Uint32(f.b[e:])), int64(le.Uint32(f.b[e+4:])), 0
	}
	start := int64(e) + pos
	if start+keySize+valueSize > int64(limit) {
		return nil, damage(e, "element of %d and %d bytes at byte %d leaves its page", keySize, valueSize, start)
	}
	key := f.b[start:][:keySize]
	if before != nil && bytes.Compare(before, key) >= 0 {
		return nil, damage(int(start), "key is not above the one before")
	}
	value := f.b[start+keySize:][:valueSize]
	kind := le.Uint32(f.b[e:])
	switch {
	case flags == flagBranch:
		return key, f.tree(bucket, le.Uint64(f.b[e+8:]), nested)
	case kind > leafBucket || (kind == leafBucket) == nested:
		return nil, damage(e, "element of kind %d", kind)
	case nested:
		return key, f.fn(Pair{Bucket: bucket, Key: key, Value: value, At: start + keySize})
	case len(value) < bucketSize:
		return nil, damage(int(start+keySize), "bucket of %d bytes", len(value))
	}
	if root := le.Uint64(value); root != 0 {
		return key, f.tree(string(key), root, true)
	}
	if len(value) < bucketSize+pageHeader {
		return nil, damage(int(start+keySize), "bucket of %d bytes", len(value))
	}
	return key, f.elements(string(key), int(start+keySize)+bucketSize, len(value)-bucketSize, true)
}
