package interop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// client is one foreign client under test. produce returns partition and offset of each record where the client tells them.
type client interface {
	name() string
	binary() bool // can send arbitrary bytes and headers of each record's own
	produce(t *testing.T, broker, topic, codec string, idempotent bool, rs []record) []stored
	consume(t *testing.T, broker, topic string) []stored
}

// clients are those that `run` could install. In CI all of them are there; elsewhere a missing one is skipped by name.
func clients(t *testing.T) []client {
	all := []client{franz{}}
	for _, c := range []struct {
		client
		needs string
	}{
		{kcat{}, "QUIRE_INTEROP_KCAT"},
		{program{"kafka-python", []string{os.Getenv("QUIRE_INTEROP_PYTHON"), "clients/python/roundtrip.py"}}, "QUIRE_INTEROP_PYTHON"},
		{program{"java", []string{"java", "-Xmx512m", "-cp", os.Getenv("QUIRE_INTEROP_JAVA"), "RoundTrip"}}, "QUIRE_INTEROP_JAVA"},
	} {
		if os.Getenv(c.needs) == "" {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is not installed: run it through ./run", c.name())
			}
			t.Logf("SKIPPED: %s is not installed", c.name())
			continue
		}
		all = append(all, c.client)
	}
	return all
}

// output runs a client program and returns what it printed.
func output(t *testing.T, stdin io.Reader, argv ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, tail(errs.Bytes()))
	}
	return out.Bytes()
}

func tail(b []byte) []byte { return b[max(0, len(b)-4000):] }

// program is a client behind the line protocol of clients/README.md.
type program struct {
	title string
	argv  []string
}

func (p program) name() string { return p.title }
func (p program) binary() bool { return true }

func (p program) produce(t *testing.T, broker, topic, codec string, idempotent bool, rs []record) []stored {
	t.Helper()
	var in bytes.Buffer
	for _, r := range rs {
		fmt.Fprintf(&in, "%s\t%s\t%s\t%d\n", hexField(r.key), hexField(r.value), hexHeaders(r.headers), r.timestamp)
	}
	argv := append(p.argv[:len(p.argv):len(p.argv)], "produce", broker, topic, codec, strconv.FormatBool(idempotent))
	var got []stored
	for line := range bytes.Lines(output(t, &in, argv...)) {
		var s stored
		if _, err := fmt.Sscanf(string(line), "%d\t%d", &s.partition, &s.offset); err != nil {
			t.Fatalf("%s printed %q", p.title, line)
		}
		got = append(got, s)
	}
	if len(got) != len(rs) {
		t.Fatalf("%s reported %d records of %d", p.title, len(got), len(rs))
	}
	return got
}

func (p program) consume(t *testing.T, broker, topic string) []stored {
	t.Helper()
	argv := append(p.argv[:len(p.argv):len(p.argv)], "consume", broker, topic)
	var got []stored
	for line := range bytes.Lines(output(t, nil, argv...)) {
		f := strings.Split(strings.TrimSuffix(string(line), "\n"), "\t")
		if len(f) != 6 {
			t.Fatalf("%s printed %.200q", p.title, line)
		}
		got = append(got, stored{
			partition: int32(number(t, f[0])), offset: number(t, f[1]),
			record: record{key: unhex(t, f[2]), value: unhex(t, f[3]), headers: unhexHeaders(t, f[4]), timestamp: number(t, f[5])},
		})
	}
	return got
}

func hexField(b []byte) string {
	if b == nil {
		return "-"
	}
	return hex.EncodeToString(b)
}

func hexHeaders(hs []header) string {
	parts := make([]string, len(hs))
	for i, h := range hs {
		parts[i] = h.key + "=" + hex.EncodeToString([]byte(h.value))
	}
	return strings.Join(parts, ";")
}

func number(t *testing.T, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	if s == "-" {
		return nil
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unhexHeaders(t *testing.T, s string) []header {
	t.Helper()
	var hs []header
	for part := range strings.SplitSeq(s, ";") {
		if k, v, ok := strings.Cut(part, "="); ok {
			hs = append(hs, header{k, string(unhex(t, v))})
		}
	}
	return hs
}

// kcat is librdkafka's command-line client.
type kcat struct{}

func (kcat) name() string { return "kcat" }
func (kcat) binary() bool { return false }

func (kcat) produce(t *testing.T, broker, topic, codec string, idempotent bool, rs []record) []stored {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lines")
	var in bytes.Buffer
	for _, r := range rs {
		fmt.Fprintf(&in, "%s\t%s\n", r.key, r.value)
	}
	if err := os.WriteFile(path, in.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	argv := []string{"kcat", "-q", "-P", "-b", broker, "-t", topic, "-z", codec, "-K", "\t", "-Z", "-l", path,
		"-X", "partitioner=murmur2_random", "-X", "acks=all", "-X", "enable.idempotence=" + strconv.FormatBool(idempotent)}
	for _, h := range rs[0].headers {
		argv = append(argv, "-H", h.key+"="+h.value)
	}
	output(t, nil, argv...)
	return nil
}

func (kcat) consume(t *testing.T, broker, topic string) []stored {
	t.Helper()
	const format = "%p %o %T %K %S %h\n%k%s\n"
	out := bufio.NewReader(bytes.NewReader(output(t, nil, "kcat", "-q", "-C", "-e", "-b", broker, "-t", topic,
		"-o", "beginning", "-f", format)))
	var got []stored
	for {
		line, err := out.ReadString('\n')
		if err == io.EOF {
			return got
		}
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 6)
		if err != nil || len(f) != 6 {
			t.Fatalf("kcat printed %.200q: %v", line, err)
		}
		s := stored{partition: int32(number(t, f[0])), offset: number(t, f[1])}
		s.timestamp = number(t, f[2])
		s.key, s.value = read(t, out, number(t, f[3])), read(t, out, number(t, f[4]))
		for part := range strings.SplitSeq(f[5], ",") {
			if k, v, ok := strings.Cut(part, "="); ok {
				s.headers = append(s.headers, header{k, v})
			}
		}
		got = append(got, s)
		if _, err := out.Discard(1); err != nil {
			t.Fatal(err)
		}
	}
}

// read takes n bytes; -1 is null.
func read(t *testing.T, r io.Reader, n int64) []byte {
	t.Helper()
	if n < 0 {
		return nil
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	return b
}

// franz is franz-go, in this process.
type franz struct{}

func (franz) name() string { return "franz-go" }
func (franz) binary() bool { return true }

func (franz) produce(t *testing.T, broker, topic, codec string, idempotent bool, rs []record) []stored {
	t.Helper()
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	opts := []kgo.Opt{kgo.SeedBrokers(broker), kgo.ProducerBatchCompression(codecs[codec]), kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.ProducerLinger(5 * time.Millisecond)}
	if !idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	records := make([]*kgo.Record, len(rs))
	for i, r := range rs {
		records[i] = &kgo.Record{Key: r.key, Value: r.value}
		if r.timestamp != 0 {
			records[i].Timestamp = time.UnixMilli(r.timestamp)
		}
		for _, h := range r.headers {
			records[i].Headers = append(records[i].Headers, kgo.RecordHeader{Key: h.key, Value: []byte(h.value)})
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatalf("franz-go: %v", err)
	}
	got := make([]stored, len(records))
	for i, r := range records {
		got[i] = stored{partition: r.Partition, offset: r.Offset}
	}
	return got
}

func (franz) consume(t *testing.T, broker, topic string) []stored {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(topic), kgo.FetchMaxWait(500*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	left := endOffsets(t, cl, topic)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []stored
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("franz-go: %v", err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			s := stored{partition: r.Partition, offset: r.Offset}
			s.key, s.value, s.timestamp = r.Key, r.Value, r.Timestamp.UnixMilli()
			for _, h := range r.Headers {
				s.headers = append(s.headers, header{h.Key, string(h.Value)})
			}
			got = append(got, s)
			if end, ok := left[r.Partition]; ok && r.Offset+1 >= end {
				delete(left, r.Partition)
			}
		})
	}
	return got
}
