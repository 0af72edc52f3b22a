package inspect

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/quirelog/quire/segment/batch"
	"github.com/quirelog/quire/segment/fuzz"
)

func file(t testing.TB) []byte {
	t.Helper()
	rs := []batch.Record{{Timestamp: 5, Key: []byte("k"), Headers: []batch.RecordHeader{{Key: "a"}, {Key: "b"}}}, {Timestamp: 9, Value: []byte{0xff, 'v'}}}
	one, err := (&batch.Builder{Idempotent: true, ProducerID: 7, ProducerEpoch: 1, BaseSequence: 1<<31 - 1}).Build(rs)
	if err != nil {
		t.Fatal(err)
	}
	two, err := (&batch.Builder{Compression: batch.Zstd}).Build(rs[1:])
	if err != nil {
		t.Fatal(err)
	}
	batch.Stamp(one, 40, 3)
	batch.Stamp(two, 42, 3)
	batch.StampAppendTime(two, 77)
	return append(one, two...)
}

// TestKafka holds the lines to those of Kafka 4.3's tool; the foreign clients' tests compare with the tool itself.
func TestKafka(t *testing.T) {
	b := append(file(t), "torn"...)
	b[len(b)-6] ^= 1 // within the second batch
	var out bytes.Buffer
	if err := Kafka(&out, bytes.NewReader(b), int64(len(b)), "40.log", 40, KafkaOptions{}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 5 || lines[0] != "Log starting offset: 40" || lines[3] != "Found 4 invalid bytes at the end of 40.log" ||
		!strings.HasPrefix(lines[1], "baseOffset: 40 lastOffset: 41 count: 2 baseSequence: 2147483647 lastSequence: 0 producerId: 7 "+
			"producerEpoch: 1 partitionLeaderEpoch: 3 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty "+
			"position: 0 CreateTime: 9 size: ") || !strings.HasSuffix(lines[1], " isvalid: true") ||
		!strings.Contains(lines[2], " LogAppendTime: 77 ") || !strings.HasSuffix(lines[2], " isvalid: false") {
		t.Error(out.String())
	}
	out.Reset()
	b = file(t)
	if err := Kafka(&out, bytes.NewReader(b), int64(len(b)), "40.log", 40, KafkaOptions{Data: true}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\n| offset: 40 CreateTime: 5 keySize: 1 valueSize: -1 sequence: 2147483647 headerKeys: [a,b] key: k\n",
		"\n| offset: 41 CreateTime: 9 keySize: -1 valueSize: 2 sequence: 0 headerKeys: [] payload: \uFFFDv\n",
		"\n| offset: 42 LogAppendTime: 77 keySize: -1 valueSize: 2 sequence: -1 headerKeys: [] payload: \uFFFDv\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}

func TestNotABatch(t *testing.T) {
	b := append(file(t), make([]byte, 100)...)
	n := 0
	valid, err := Batches(bytes.NewReader(b), int64(len(b)), func(*Batch) error { n++; return nil })
	if n != 2 || valid != int64(len(b)-100) || !errors.Is(err, ErrNotABatch) {
		t.Errorf("%d batches, %d bytes: %v", n, valid, err)
	}
}

// TestJavaText's wanted strings are what Java 17's new String(bytes, UTF_8) makes.
func TestJavaText(t *testing.T) {
	const r = "\uFFFD"
	for in, want := range map[string]string{
		"aé€😀": "aé€😀", "\xff": r, "\xc0\x80": r + r, "\xc3": r, "\xc3a": r + "a", "\xe2\x82": r, "\xe2a": r + "a", "\xe2\x82a": r + "a",
		"\xe0\x80\x80": r + r + r, "\xed\xa0\x80": r, "\xf0\x9f\x98": r, "\xf0\x9f": r, "\xf0\x80a": r + r + "a",
		"\xf4\x90\x80\x80": r + r + r + r, "\xf0\x9f\x98a": r + "a", "\xf8\x88": r + r,
	} {
		if got := javaText([]byte(in)); got != want {
			t.Errorf("%x: %+q, want %+q", in, got, want)
		}
	}
}

func FuzzBatches(f *testing.F) {
	f.Add(file(f))
	f.Fuzz(func(t *testing.T, b []byte) { checkBatches(t, b) })
}

func checkBatches(t testing.TB, b []byte) {
	valid, _ := Batches(bytes.NewReader(b), int64(len(b)), func(b *Batch) error { return b.Records(func(*batch.Record) {}) })
	if valid < 0 || valid > int64(len(b)) {
		t.Errorf("%d of %d bytes", valid, len(b))
	}
}

func TestDamagedBatches(t *testing.T) {
	g := fuzz.Target{Runs: 50_000, Seeds: [][]byte{file(t)}, Do: checkBatches, Allowance: 256 << 20}
	g.Run(t)
}
