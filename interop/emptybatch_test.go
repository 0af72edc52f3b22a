package interop

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestEmptyBatches has every client read over batches without records, which compaction leaves where a batch was the last one of a
// producer: they keep its offsets and sequence. No client can send one, so they are put into the files of a broker that is down.
func TestEmptyBatches(t *testing.T) {
	dir := t.TempDir()
	var rs []record
	for i := range 12 {
		rs = append(rs, record{value: fmt.Appendf(nil, "value %04d", i), timestamp: 1_700_000_000_000})
	}
	t.Run("write", func(t *testing.T) {
		broker := startQuire(t, dir).addr
		for _, name := range []string{"holes"} {
			createTopic(t, broker, name, 1)
			p := franz{}.open(t, broker, order{topic: name, codec: "none"})
			for i := range rs { // a batch each
				if _, err := p.send(rs[i : i+1]); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	if t.Failed() {
		return
	}
	left := map[string][]int64{"holes": emptyBatches(t, dir, "holes", 0, 4, 5, 9)}
	broker := startQuire(t, dir).addr
	for _, c := range clients(t) {
		if !c.can().readsEmpty {
			t.Logf("SKIPPED: %s cannot read over them", c.name())
			continue
		}
		t.Run(c.name(), func(t *testing.T) {
			t.Parallel()
			var got []int64
			for _, s := range c.consume(t, broker, "holes") {
				got = append(got, s.offset)
			}
			if fmt.Sprint(got) != fmt.Sprint(left["holes"]) {
				t.Errorf("%s read the offsets %v, want %v", c.name(), got, left["holes"])
			}
		})
	}
	for name := range left {
		t.Run("quire consume "+name, func(t *testing.T) {
			t.Parallel()
			want := ""
			for _, o := range left[name] {
				want += fmt.Sprintf("%d\n", o)
			}
			got := output(t, nil, quireBinary(), "consume", "-b", broker, name, "-o", ":end", "-f", "%o\\n")
			if string(got) != want {
				t.Errorf("%s: offsets\n%swant\n%s", name, got, want)
			}
		})
	}
}

// emptyBatches takes the records out of the batches at these places of a log whose batches have one record each, and lengthens
// the record of the next batch that keeps one, so that the log's length and its last batch's place are what the files beside it say. It returns the offsets that are left.
func emptyBatches(t *testing.T, dir, topic string, places ...int) []int64 {
	t.Helper()
	path := filepath.Join(dir, topic+"-0", "00000000000000000000.log")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var batches [][]byte
	for rest := raw; len(rest) > 0; {
		n := 12 + int(binary.BigEndian.Uint32(rest[8:]))
		batches = append(batches, rest[:n])
		rest = rest[n:]
	}
	var out []byte
	var left []int64
	spare := 0 // bytes that were taken out before the next batch that keeps its record
	for i, b := range batches {
		if slices.Contains(places, i) {
			empty := bytes.Clone(b[:batchHead])
			binary.BigEndian.PutUint32(empty[57:], 0)
			out = append(out, sealed(empty)...)
			spare += len(b) - batchHead
			continue
		}
		left = append(left, int64(i))
		out = append(out, lengthened(t, b, spare)...)
		spare = 0
	}
	if spare > 0 || len(out) != len(raw) {
		t.Fatalf("the log has %d bytes, and had %d; %d are over", len(out), len(raw), spare)
	}
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.Fatal(err)
	}
	return left
}

const batchHead = 61

// lengthened is a batch of one record with a value that makes it so many bytes longer.
func lengthened(t *testing.T, b []byte, by int) []byte {
	t.Helper()
	if by == 0 {
		return b
	}
	want := len(b) + by
	n := valueFor(want)
	record := append([]byte{0, 0, 0, 1}, binary.AppendVarint(nil, int64(n))...) // no deltas, null key
	record = append(append(record, bytes.Repeat([]byte{'x'}, n)...), 0)
	long := append(bytes.Clone(b[:batchHead]), binary.AppendVarint(nil, int64(len(record)))...)
	if long = append(long, record...); len(long) != want {
		t.Fatalf("a batch of %d bytes, want %d", len(long), want)
	}
	return sealed(long)
}

func sealed(b []byte) []byte {
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}
