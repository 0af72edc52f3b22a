package interop

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// kcat is librdkafka's command-line client.
type kcat struct{}

func (kcat) name() string   { return "kcat" }
func (kcat) can() abilities { return abilities{idempotent: true, readsNull: true, readsEmpty: true} }

func (kcat) open(t *testing.T, broker string, o order) producer {
	return once(func(rs []record) ([]stored, error) { return nil, kcatProduce(t, broker, o, rs) })
}

// once is a producer that lives for one send.
type once func(rs []record) ([]stored, error)

func (o once) send(rs []record) ([]stored, error) { return o(rs) }
func (once) close()                               {}

func kcatProduce(t *testing.T, broker string, o order, rs []record) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lines")
	var in bytes.Buffer
	for _, r := range rs {
		fmt.Fprintf(&in, "%s\t%s\n", r.key, r.value)
	}
	if err := os.WriteFile(path, in.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	argv := []string{"kcat", "-P", "-b", broker, "-t", o.topic, "-z", o.codec, "-K", "\t", "-l", path,
		"-X", "partitioner=murmur2_random", "-X", "acks=" + cmp.Or(o.acks, "all"), "-X", "enable.idempotence=" + strconv.FormatBool(o.idempotent)}
	if o.large {
		argv = append(argv, "-X", "message.max.bytes=4194304")
	}
	if slices.ContainsFunc(rs, func(r record) bool { return r.key == nil || r.value == nil }) {
		argv = append(argv, "-Z") // all that is empty is null then
	}
	for _, h := range rs[0].headers {
		argv = append(argv, "-H", h.key+"="+h.value)
	}
	_, err := runProgram(t, nil, argv...)
	return err
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

func (kcat) topics(t *testing.T, broker string) map[string]int {
	t.Helper()
	found := map[string]int{}
	for _, m := range kcatTopic.FindAllSubmatch(output(t, nil, "kcat", "-L", "-b", broker), -1) {
		found[string(m[1])] = int(number(t, string(m[2])))
	}
	return found
}

var kcatTopic = regexp.MustCompile(`(?m)^  topic "(.*)" with ([0-9]+) partitions:$`)
