package batch

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/quirelog/quire/segment/fuzz"
)

func FuzzValidate(f *testing.F) {
	for _, c := range codecs {
		f.Add(goldenBatch(f, c))
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkValidate(t, b) })
}

func checkValidate(t testing.TB, b []byte) {
	h, err := Validate(b)
	first, _, splitErr := Split(b)
	if err != nil {
		return
	}
	if h.Size() != len(b) || h.NumRecords < 1 || splitErr != nil || len(first) != len(b) {
		t.Fatalf("passed %+v of %d bytes (Split: %v)", h, len(b), splitErr)
	}
}

func FuzzRecords(f *testing.F) {
	for _, c := range codecs {
		f.Add(int8(c), uint16(3), goldenBatch(f, c)[HeaderSize:])
	}
	f.Fuzz(func(t *testing.T, codec int8, n uint16, body []byte) {
		b := raw(int(n), body)
		b[posAttributes+1] = byte(codec & attrCompression)
		checkRecords(t, b)
	})
}

// checkRecords reads the records of a batch whose header has any count: all of them come, or an error, and no more than the limit.
func checkRecords(t testing.TB, b []byte) {
	const limit = 1 << 20
	if len(b) < HeaderSize {
		return
	}
	n := int(int32(binary.BigEndian.Uint32(b[posNumRecords:])))
	count, size := 0, 0
	err := Records(b, limit, func(r *Record) bool {
		count++
		size += len(r.Key) + len(r.Value)
		return true
	})
	if err == nil && count != n {
		t.Fatalf("%d records of %d without an error", count, n)
	}
	if size > max(limit, len(b)) {
		t.Fatalf("%d bytes past the limit", size)
	}
}

// anyBatch is a batch of any records in any codec.
func anyBatch(r *rand.Rand) []byte {
	records := make([]Record, 1+r.IntN(5))
	for i := range records {
		records[i] = Record{Offset: Offset(i), Timestamp: r.Int64N(1 << 41), Key: make([]byte, r.IntN(20)), Value: make([]byte, r.IntN(200))}
		for n := r.IntN(3); n > 0; n-- {
			records[i].Headers = append(records[i].Headers, RecordHeader{Key: "h", Value: make([]byte, r.IntN(9))})
		}
	}
	b, err := (&Builder{Compression: codecs[r.IntN(len(codecs))]}).Build(records)
	if err != nil {
		panic(err) // a broken test
	}
	return b
}

// mend makes length and checksum those of what is there.
func mend(b []byte) {
	if len(b) >= HeaderSize {
		binary.BigEndian.PutUint32(b[posLength:], uint32(len(b)-LogOverhead))
		putCRC(b)
	}
}

// A zstd frame of few bytes that claims a gigabyte is refused before it is given one. RLE frames of the largest ratio pass.
func TestZstdClaims(t *testing.T) {
	header := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x80, 0x58, 0, 0, 0, 0} // 4 bytes of content size, a window of 2 MiB
	rle := []byte{0x02, 0, 0x10, 'x'}                                // 128 KiB of x, not the last block
	for _, tt := range []struct {
		name   string
		claim  uint32
		blocks int
		whole  bool
	}{{"true", 100 << 17, 100, true}, {"a lie", 1 << 30, 1, false}} {
		b := binary.LittleEndian.AppendUint32(header[:6:6], tt.claim)
		for range tt.blocks {
			b = append(b, rle...)
		}
		b[len(b)-4] |= 1 // the last block
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := readZstd(nil, b, 2<<30)
		runtime.ReadMemStats(&after)
		allocated := after.TotalAlloc - before.TotalAlloc
		if (err == nil) != tt.whole || tt.whole && len(got) != int(tt.claim) || allocated > 128<<20 {
			t.Errorf("%s: %d bytes, %v; %d bytes allocated", tt.name, len(got), err, allocated)
		}
	}
}

func TestNegativeCountIsRefused(t *testing.T) {
	if err := Records(raw(-1, nil), 0, func(*Record) bool { return true }); !errors.Is(err, ErrInvalidRecord) {
		t.Errorf("got %v", err)
	}
}

func TestDamagedBatches(t *testing.T) {
	var seeds [][]byte
	for seed := range uint64(200) {
		seeds = append(seeds, anyBatch(rand.New(rand.NewPCG(seed, 1))))
	}
	t.Run("validate", func(t *testing.T) {
		g := fuzz.Target{Runs: 284_000, Seeds: seeds, Mend: mend, Do: checkValidate}
		g.Run(t)
	})
	t.Run("records", func(t *testing.T) {
		g := fuzz.Target{Runs: 1_000, Seeds: seeds, Mend: mend, Do: checkRecords, Allowance: 256 << 20}
		g.Run(t)
	})
}
