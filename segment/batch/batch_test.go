package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
)

var codecs = []Compression{None, Gzip, Snappy, LZ4, Zstd}

// collect copies the records of b.
func collect(b []byte, maxBytes int) ([]Record, error) {
	var got []Record
	err := Records(b, maxBytes, func(r *Record) bool {
		c := *r
		c.Key, c.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
		c.Headers = nil
		for _, h := range r.Headers {
			c.Headers = append(c.Headers, RecordHeader{Key: h.Key, Value: bytes.Clone(h.Value)})
		}
		got = append(got, c)
		return true
	})
	return got, err
}

func TestGoldenBatches(t *testing.T) {
	for _, c := range codecs {
		t.Run(c.String(), func(t *testing.T) {
			b := goldenBatch(t, c)
			h, err := Validate(b)
			if err != nil {
				t.Fatal(err)
			}
			want := Header{
				Length: int32(len(b) - 12), LeaderEpoch: -1, Magic: 2, CRC: h.CRC, Attributes: int16(c), LastOffsetDelta: 2,
				BaseTimestamp: 1700000000000, MaxTimestamp: 1700000000005,
				ProducerID: 4242, ProducerEpoch: 3, BaseSequence: 7, NumRecords: 3,
			}
			if h != want {
				t.Fatalf("header\n%+v, want\n%+v", h, want)
			}
			got, err := collect(b, 0)
			if err != nil {
				t.Fatal(err)
			}
			if want := goldenRecords(); !reflect.DeepEqual(got, want) {
				t.Fatalf("records\n%+v, want\n%+v", got, want)
			}
		})
	}
}

func TestBuildMatchesKafka(t *testing.T) {
	bu := Builder{ProducerID: 4242, ProducerEpoch: 3, BaseSequence: 7, Idempotent: true}
	got, err := bu.Build(goldenRecords())
	if err != nil {
		t.Fatal(err)
	}
	if want := goldenBatch(t, None); !bytes.Equal(got, want) {
		t.Fatalf("got\n%x, want\n%x", got, want)
	}
}

func TestBuildRoundTrip(t *testing.T) {
	records := goldenRecords()
	for i := len(records); i < 500; i++ {
		records = append(records, Record{
			Offset: Offset(i), Timestamp: 1700000000000 + int64(i*i), Key: []byte{}, Value: bytes.Repeat([]byte{byte(i)}, i*3),
		})
	}
	for _, c := range codecs {
		t.Run(c.String(), func(t *testing.T) {
			b, err := (&Builder{Compression: c}).Build(records)
			if err != nil {
				t.Fatal(err)
			}
			h, err := Validate(b)
			if err != nil {
				t.Fatal(err)
			}
			if h.ProducerID != NoProducer || h.Compression() != c || h.Next() != 500 {
				t.Fatalf("header %+v", h)
			}
			got, err := collect(b, 0)
			if err != nil || !reflect.DeepEqual(got, records) {
				t.Fatalf("%d records (%v) differ from what was built", len(got), err)
			}
		})
	}
}

func TestStamp(t *testing.T) {
	b := goldenBatch(t, Zstd)
	Stamp(b, 1<<40, 9)
	h, err := Validate(b) // the CRC does not cover what is stamped
	if err != nil || h.BaseOffset != 1<<40 || h.LeaderEpoch != 9 || h.Next() != 1<<40+3 {
		t.Fatalf("%+v, %v", h, err)
	}
	StampAppendTime(b, 1800000000000)
	if h, err = Validate(b); err != nil || !h.LogAppendTime() || h.Compression() != Zstd {
		t.Fatalf("%+v, %v", h, err)
	}
	got, err := collect(b, 0)
	if err != nil || len(got) != 3 || got[1].Timestamp != 1800000000000 || got[1].Offset != 1<<40+1 {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestValidateRefuses(t *testing.T) {
	be := binary.BigEndian
	for _, tc := range []struct {
		name string
		edit func(b []byte) []byte
		seal bool // make the CRC fit again
		want error
	}{
		{"empty", func(b []byte) []byte { return nil }, false, ErrCorrupt},
		{"header cut", func(b []byte) []byte { return b[:60] }, false, ErrCorrupt},
		{"end cut", func(b []byte) []byte { return b[:len(b)-1] }, false, ErrCorrupt},
		{"bytes after", func(b []byte) []byte { return append(b, 0) }, false, ErrCorrupt},
		{"negative length", func(b []byte) []byte { b[posLength] = 0xff; return b }, false, ErrCorrupt},
		{"length below header", func(b []byte) []byte { be.PutUint32(b[posLength:], 48); return b }, false, ErrCorrupt},
		{"magic 0", func(b []byte) []byte { b[posMagic] = 0; return b }, false, ErrUnsupportedFormat},
		{"magic 1, short", func(b []byte) []byte { b[posMagic] = 1; return b[:30] }, false, ErrUnsupportedFormat},
		{"magic 3", func(b []byte) []byte { b[posMagic] = 3; return b }, false, ErrCorrupt},
		{"magic -1", func(b []byte) []byte { b[posMagic] = 0xff; return b }, false, ErrCorrupt},
		{"CRC", func(b []byte) []byte { b[posCRC] ^= 1; return b }, false, ErrCorrupt},
		{"bit in the records", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, false, ErrCorrupt},
		{"no records", func(b []byte) []byte { be.PutUint32(b[posNumRecords:], 0); return b }, true, ErrInvalidRecord},
		{"count and delta", func(b []byte) []byte { be.PutUint32(b[posNumRecords:], 2); return b }, true, ErrInvalidRecord},
		{"count overflows", func(b []byte) []byte {
			be.PutUint32(b[posNumRecords:], 1<<31)
			be.PutUint32(b[posLastOffsetDelta:], 1<<31-1)
			return b
		}, true, ErrInvalidRecord},
		{"more records than bytes", func(b []byte) []byte {
			be.PutUint32(b[posNumRecords:], 1000)
			be.PutUint32(b[posLastOffsetDelta:], 999)
			return b
		}, true, ErrInvalidRecord},
		{"codec 5", func(b []byte) []byte { b[posAttributes+1] = 5; return b }, true, ErrInvalidRecord},
		{"control", func(b []byte) []byte { b[posAttributes+1] |= attrControl; return b }, true, ErrInvalidRecord},
		{"producer id -2", func(b []byte) []byte { be.PutUint64(b[posProducerID:], ^uint64(1)); return b }, true, ErrInvalidRecord},
		{"producer epoch", func(b []byte) []byte { b[posProducerEpoch] = 0xff; return b }, true, ErrInvalidRecord},
		{"sequence", func(b []byte) []byte { b[posBaseSequence] = 0xff; return b }, true, ErrInvalidRecord},
		{"transaction without producer", func(b []byte) []byte {
			be.PutUint64(b[posProducerID:], ^uint64(0))
			b[posAttributes+1] |= attrTransactional
			return b
		}, true, ErrInvalidRecord},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := tc.edit(goldenBatch(t, None))
			if tc.seal {
				putCRC(b)
			}
			if _, err := Validate(b); !errors.Is(err, tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
		})
	}
}

func TestSplit(t *testing.T) {
	a, b := goldenBatch(t, None), goldenBatch(t, LZ4)
	both := slices.Concat(a, b)
	first, rest, err := Split(both)
	if err != nil || !bytes.Equal(first, a) || !bytes.Equal(rest, b) {
		t.Fatalf("%d and %d bytes, %v", len(first), len(rest), err)
	}
	if _, _, err := Split(rest[:len(rest)-1]); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("cut batch: %v", err)
	}
	b[posMagic] = 1
	if _, _, err := Split(b); !errors.Is(err, ErrUnsupportedFormat) {
		t.Fatalf("old format: %v", err)
	}
}

func TestDecompressionIsBounded(t *testing.T) {
	value := make([]byte, 8<<20)
	for _, c := range codecs[1:] {
		t.Run(c.String(), func(t *testing.T) {
			b, err := (&Builder{Compression: c}).Build([]Record{{Value: value}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := collect(b, 1<<20); !errors.Is(err, ErrTooLarge) {
				t.Fatalf("got %v, want ErrTooLarge", err)
			}
			if got, err := collect(b, 9<<20); err != nil || len(got) != 1 {
				t.Fatalf("%d records, %v", len(got), err)
			}
		})
	}
}

// TestSnappyClaim: a length that is only claimed must not be allocated.
func TestSnappyClaim(t *testing.T) {
	block := binary.AppendUvarint(nil, 100<<20)
	if _, err := decompress(nil, Snappy, block, 128<<20); !errors.Is(err, ErrInvalidRecord) {
		t.Fatalf("got %v", err)
	}
	framed := slices.Concat(xerialMagic, make([]byte, 8), []byte{0xff, 0xff, 0xff, 0xff, 1})
	if _, err := decompress(nil, Snappy, framed, 128<<20); !errors.Is(err, ErrInvalidRecord) {
		t.Fatalf("got %v", err)
	}
}

// raw makes a batch of n records whose records part is body.
func raw(n int, body []byte) []byte {
	h := Header{
		Length: int32(MinLength + len(body)), Magic: 2, LastOffsetDelta: int32(n - 1), NumRecords: int32(n),
		ProducerID: NoProducer, ProducerEpoch: -1, BaseSequence: -1,
	}
	b := make([]byte, HeaderSize, HeaderSize+len(body))
	h.put(b)
	b = append(b, body...)
	putCRC(b)
	return b
}

func TestRecordsRefuses(t *testing.T) {
	for _, tc := range []struct {
		name string
		n    int
		body []byte
	}{
		{"nothing", 1, nil},
		{"length only", 1, []byte{12}},
		{"length negative", 1, []byte{3}},
		{"length null", 1, []byte{1, 0, 0, 0, 1, 1, 0}},
		{"length too long for 32 bits", 1, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0}},
		{"varint of eleven bytes", 1, bytes.Repeat([]byte{0xff}, 16)},
		{"too short", 1, []byte{10, 0, 0, 0, 1, 1, 0}},
		{"key past the end", 1, []byte{12, 0, 0, 0, 40, 1, 0}},
		{"key length -2", 1, []byte{12, 0, 0, 0, 3, 1, 0}},
		{"value past the end", 1, []byte{12, 0, 0, 0, 1, 2, 0}},
		{"header count past the end", 1, []byte{12, 0, 0, 0, 1, 1, 20}},
		{"header count negative", 1, []byte{12, 0, 0, 0, 1, 1, 1}},
		{"header without key", 1, []byte{16, 0, 0, 0, 1, 1, 2, 1, 1}},
		{"bytes left in the record", 1, []byte{14, 0, 0, 0, 1, 1, 0, 0}},
		{"offset delta above the last", 1, []byte{12, 0, 0, 2, 1, 1, 0}},
		{"offset delta negative", 1, []byte{12, 0, 0, 1, 1, 1, 0}},
		{"a record fewer", 2, []byte{12, 0, 0, 0, 1, 1, 0}},
		{"a byte more", 1, []byte{12, 0, 0, 0, 1, 1, 0, 0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := collect(raw(tc.n, tc.body), 0); !errors.Is(err, ErrInvalidRecord) {
				t.Fatalf("got %v, want ErrInvalidRecord", err)
			}
		})
	}
	if got, err := collect(raw(1, []byte{12, 0, 0, 0, 1, 1, 0}), 0); err != nil || len(got) != 1 {
		t.Fatalf("smallest record: %v, %v", got, err)
	}
}

func TestRecordsStops(t *testing.T) {
	n := 0
	err := Records(goldenBatch(t, Gzip), 0, func(*Record) bool { n++; return n < 2 })
	if n != 2 || err != nil {
		t.Fatalf("%d calls, %v", n, err)
	}
}

func TestBuildRefuses(t *testing.T) {
	if _, err := new(Builder).Build(nil); !errors.Is(err, ErrInvalidRecord) {
		t.Fatalf("no records: %v", err)
	}
	if _, err := (&Builder{Compression: 6}).Build(goldenRecords()); !errors.Is(err, ErrInvalidRecord) {
		t.Fatalf("codec 6: %v", err)
	}
}

func BenchmarkValidate(b *testing.B) {
	for _, size := range []int{100, 16 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			data, err := new(Builder).Build([]Record{{Value: make([]byte, size)}})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Validate(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRecords(b *testing.B) {
	records := make([]Record, 1000)
	for i := range records {
		records[i].Value = fmt.Appendf(nil,
			`{"order":%d,"customer":"c-%d","amount":%d,"currency":"EUR","note":"as agreed"}`, i, i%97, i*31)
	}
	for _, c := range codecs {
		b.Run(c.String(), func(b *testing.B) {
			data, err := (&Builder{Compression: c}).Build(records)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := Records(data, 0, func(*Record) bool { return true }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestValidateAllocatesNothing(t *testing.T) {
	b := goldenBatch(t, None)
	if n := testing.AllocsPerRun(100, func() { _, _ = Validate(b) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
