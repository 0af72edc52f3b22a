package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// target is codec at the level that Kafka has by default.
func target(c Compression) Target { return Target{Codec: c, Level: defaultLevels[c]} }

var defaultLevels = map[Compression]int{Gzip: -1, LZ4: DefaultLZ4Level, Zstd: 3}

func TestRecompressEveryCodecToEveryCodec(t *testing.T) {
	for _, from := range codecs {
		for _, to := range codecs {
			old := goldenBatch(t, from) // as Java writes it
			Stamp(old, 77, 5)
			b, times, err := Recompress(old, target(to))
			if err != nil {
				t.Fatalf("%s to %s: %v", from, to, err)
			}
			if want := (Times{1699999999990, 1700000000005}); times.Times != want {
				t.Errorf("%s to %s: times %+v", from, to, times)
			}
			h, err := Validate(b)
			want, _ := ParseHeader(old)
			want.Length, want.CRC, want.Attributes = int32(len(b)-LogOverhead), h.CRC, int16(to)
			if err != nil || h != want {
				t.Errorf("%s to %s: header %+v (%v), want %+v", from, to, h, err, want)
			}
			before, _ := collect(old, 0)
			if got, err := collect(b, 0); err != nil || !reflect.DeepEqual(got, before) {
				t.Errorf("%s to %s: records %+v, %v", from, to, got, err)
			}
			if plain := goldenBatch(t, None); to == None && !bytes.Equal(b[posLastOffsetDelta:], plain[posLastOffsetDelta:]) {
				t.Errorf("%s to none is not what Kafka writes", from)
			}
		}
	}
}

// mixedRecords are records of many sizes, some larger than any buffer on the way, half of them compressible.
func mixedRecords(n int) []Record {
	random := rand.New(rand.NewPCG(1, 2))
	records := make([]Record, n)
	for i := range records {
		value := make([]byte, random.IntN(2000))
		if i%100 == 99 {
			value = make([]byte, 200_000)
		}
		if i%2 == 0 {
			for j := range value {
				value[j] = byte(random.Uint32())
			}
		}
		records[i] = Record{Offset: Offset(i), Timestamp: int64(1e12 + i), Value: value, Key: fmt.Appendf(nil, "k%d", i),
			Headers: []RecordHeader{{Key: "h", Value: value[:len(value)/2]}, {Key: ""}}}
	}
	return records
}

func TestRecompressLevels(t *testing.T) {
	records := mixedRecords(150)
	old, err := (&Builder{Compression: Snappy}).Build(records)
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []Target{
		{Codec: None}, {Codec: Snappy}, {Codec: Gzip, Level: -1}, {Codec: Gzip, Level: 1}, {Codec: Gzip, Level: 9},
		{Codec: LZ4, Level: 1}, {Codec: LZ4, Level: 9}, {Codec: LZ4, Level: 10}, {Codec: LZ4, Level: 17},
		{Codec: Zstd, Level: -131072}, {Codec: Zstd, Level: 3}, {Codec: Zstd, Level: 6}, {Codec: Zstd, Level: 22},
	} {
		for range 2 { // the second time with an encoder that was in use
			b, times, err := Recompress(old, to)
			if err != nil {
				t.Fatalf("%+v: %v", to, err)
			}
			if want := (Times{1e12, 1e12 + 149}); times.Times != want {
				t.Errorf("%+v: times %+v", to, times)
			}
			if got, err := collect(b, 0); err != nil || !reflect.DeepEqual(got, records) {
				t.Errorf("%+v: %d records, %v", to, len(got), err)
			}
		}
	}
	for _, no := range []Target{{Codec: Gzip, Level: 0}, {Codec: Gzip, Level: 10}, {Codec: LZ4}, {Codec: LZ4, Level: 18}, {Codec: 5}} {
		if _, _, err := Recompress(old, no); err == nil {
			t.Errorf("%+v passed", no)
		}
	}
}

// TestZstdOfAnySize: what is decompressed may fit into the buffer that is there, or not, at any byte.
func TestZstdOfAnySize(t *testing.T) {
	plain, err := new(Builder).Build(mixedRecords(120))
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := Recompress(plain, target(Zstd))
	if err != nil {
		t.Fatal(err)
	}
	for size := 0; size < 400<<10; size += 4096 {
		if _, err := decompress(make([]byte, 0, size), Zstd, b[HeaderSize:], 1<<20); err != nil {
			t.Fatalf("into %d bytes: %v", size, err)
		}
	}
}

// Levels do something: what is asked to be smaller is.
func TestLevelsTakeEffect(t *testing.T) {
	var records []Record
	for i := range 3000 {
		records = append(records, Record{Value: fmt.Appendf(nil, `{"order":%d,"customer":"c-%d","note":"as agreed %d"}`, i*7919, i%97, i*i%1000)})
	}
	plain, err := new(Builder).Build(records)
	if err != nil {
		t.Fatal(err)
	}
	size := func(to Target) int {
		b, _, err := Recompress(plain, to)
		if err != nil {
			t.Fatal(err)
		}
		return len(b)
	}
	for _, pair := range [][2]Target{
		{{Codec: Gzip, Level: 1}, {Codec: Gzip, Level: 9}},
		{{Codec: LZ4, Level: 9}, {Codec: LZ4, Level: 17}},
		{{Codec: Zstd, Level: 1}, {Codec: Zstd, Level: 19}},
	} {
		if fast, small := size(pair[0]), size(pair[1]); small >= fast {
			t.Errorf("%+v: %d bytes, %+v: %d", pair[0], fast, pair[1], small)
		}
	}
}

// TestBombs: what grows stops at either limit.
func TestBombs(t *testing.T) {
	const plain = 8 << 20
	for _, c := range codecs[1:] {
		b, err := (&Builder{Compression: c}).Build([]Record{{Value: make([]byte, plain)}})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := Recompress(b, Target{Codec: None, MaxBytes: 1 << 20}); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s, new size: %v", c, err)
		}
		if _, err := Scan(b, plain-1); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s, decompressed size: %v", c, err)
		}
		if _, err := Scan(b, plain+100); err != nil {
			t.Errorf("%s, within the limit: %v", c, err)
		}
	}
}

func TestRecompressRefuses(t *testing.T) {
	small := []byte{12, 0, 0, 0, 1, 1, 0}
	for _, tc := range []struct {
		name string
		n    int
		body []byte
	}{
		{"nothing", 1, nil},
		{"length only", 1, []byte{12}},
		{"length null", 1, []byte{1, 0, 0, 0, 1, 1, 0}},
		{"varint of eleven bytes", 1, bytes.Repeat([]byte{0xff}, 16)},
		{"varint of 65 bits", 1, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2}},
		{"too short", 1, []byte{10, 0, 0, 0, 1, 1, 0}},
		{"key past the record", 1, []byte{12, 0, 0, 0, 40, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
		{"key length -2", 1, []byte{12, 0, 0, 0, 3, 1, 0}},
		{"header count past the end", 1, []byte{12, 0, 0, 0, 1, 1, 20}},
		{"header count negative", 1, []byte{12, 0, 0, 0, 1, 1, 1}},
		{"header without key", 1, []byte{16, 0, 0, 0, 1, 1, 2, 1, 1}},
		{"bytes left in the record", 1, []byte{14, 0, 0, 0, 1, 1, 0, 0}},
		{"offset delta not the first", 1, []byte{12, 0, 0, 2, 1, 1, 0}},
		{"offset delta again", 2, append(bytes.Clone(small), small...)},
		{"a record fewer", 2, small},
		{"a byte more", 1, append(bytes.Clone(small), 0)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, c := range []Compression{None, Zstd, Snappy} {
				b := encoded(t, c, tc.n, tc.body)
				if _, _, err := Recompress(b, target(Gzip)); !errors.Is(err, ErrInvalidRecord) {
					t.Errorf("%s: got %v, want ErrInvalidRecord", c, err)
				}
			}
		})
	}
	for _, c := range codecs[1:] {
		b := raw(1, []byte("this is no compressed data at all, of whatever codec"))
		b[posAttributes+1] = byte(c)
		if _, _, err := Recompress(b, target(None)); !errors.Is(err, ErrInvalidRecord) {
			t.Errorf("%s: got %v, want ErrInvalidRecord", c, err)
		}
		cut := goldenBatch(t, c)
		cut = cut[:len(cut)-12]
		binary.BigEndian.PutUint32(cut[posLength:], uint32(len(cut)-LogOverhead))
		if _, _, err := Recompress(cut, target(None)); !errors.Is(err, ErrInvalidRecord) {
			t.Errorf("%s cut short: got %v, want ErrInvalidRecord", c, err)
		}
	}
}

// encoded is raw with its body compressed.
func encoded(t *testing.T, c Compression, n int, body []byte) []byte {
	t.Helper()
	if c == None {
		return raw(n, body)
	}
	packed, err := compress(nil, c, body)
	if err != nil {
		t.Fatal(err)
	}
	b := raw(n, packed)
	b[posAttributes+1] = byte(c)
	return b
}

// A claimed window costs nothing beyond what WorkingMemory says, and too large a one is refused.
func TestZstdWindows(t *testing.T) {
	plain := goldenBatch(t, None)[HeaderSize:]
	for _, window := range []int{1 << 20, 32 << 20, 256 << 20} {
		e, err := zstd.NewWriter(nil, zstd.WithWindowSize(window), zstd.WithSingleSegment(false), zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		var packed bytes.Buffer
		e.Reset(&packed)
		for _, half := range [][]byte{plain[:100], plain[100:]} { // so that the frame does not carry its size
			if _, err := e.Write(half); err == nil {
				err = e.Flush()
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		b := raw(3, packed.Bytes())
		b[posAttributes+1] = byte(Zstd)
		_, err = Scan(b, 1<<20)
		if window > maxZstdWindow != errors.Is(err, ErrInvalidRecord) || (window <= maxZstdWindow) != (err == nil) {
			t.Errorf("window %d: %v", window, err)
		}
		if need := WorkingMemory(b, Target{}); need < int64(min(window, maxZstdWindow)) {
			t.Errorf("window %d: working memory %d", window, need)
		}
	}
}

func FuzzRecompress(f *testing.F) {
	for _, c := range codecs {
		f.Add(int8(c), int8(None), uint16(3), goldenBatch(f, c)[HeaderSize:])
		f.Add(int8(c), int8(Snappy), uint16(3), goldenBatch(f, c)[HeaderSize:])
	}
	const limit = 1 << 20
	f.Fuzz(func(t *testing.T, from, to int8, n uint16, body []byte) {
		b := raw(int(n), body)
		b[posAttributes+1] = byte(from & attrCompression)
		codec := Compression(uint8(to) % 5)
		made, _, err := Recompress(b, Target{Codec: codec, Level: defaultLevels[codec], MaxBytes: limit, MaxPlain: limit})
		if n == 0 {
			return // Validate refuses it before
		}
		if err != nil {
			if !errors.Is(err, ErrInvalidRecord) && !errors.Is(err, ErrTooLarge) {
				t.Fatal(err)
			}
			return
		}
		want, err := collect(b, limit)
		if err != nil {
			t.Fatalf("passed what Records refuses: %v", err)
		}
		got, err := collect(made, 2*limit)
		if err != nil || len(made) > limit || !reflect.DeepEqual(got, want) {
			t.Fatalf("%d bytes, %d records of %d: %v", len(made), len(got), len(want), err)
		}
	})
}

func BenchmarkRecompress(b *testing.B) {
	records := make([]Record, 1000)
	for i := range records {
		records[i].Value = fmt.Appendf(nil,
			`{"order":%d,"customer":"c-%d","amount":%d,"currency":"EUR","note":"as agreed"}`, i, i%97, i*31)
	}
	plain, err := new(Builder).Build(records)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range codecs[1:] {
		b.Run("to="+c.String(), func(b *testing.B) { benchRecompress(b, plain, len(plain), target(c)) })
	}
	for _, c := range codecs[1:] {
		data, err := (&Builder{Compression: c}).Build(records)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("from="+c.String(), func(b *testing.B) { benchRecompress(b, data, len(plain), target(None)) })
	}
}

func benchRecompress(b *testing.B, data []byte, plain int, to Target) {
	b.SetBytes(int64(plain))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Recompress(data, to); err != nil {
			b.Fatal(err)
		}
	}
}
