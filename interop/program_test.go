package interop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program is a client behind the line protocol of clients/README.md.
type program struct {
	title string
	able  abilities
	argv  []string
}

func (p program) name() string   { return p.title }
func (p program) can() abilities { return p.able }

func (p program) command(args ...string) []string {
	return append(p.argv[:len(p.argv):len(p.argv)], args...)
}

func (p program) open(t *testing.T, broker string, o order) producer {
	t.Helper()
	acks := o.acks
	if acks == "" {
		acks = "all"
	}
	argv := p.command("produce", broker, o.topic, o.codec, strconv.FormatBool(o.idempotent), acks)
	r := &running{t: t, cmd: exec.CommandContext(t.Context(), argv[0], argv[1:]...)}
	r.cmd.Stderr = &r.errs
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := r.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.in, r.out = in, bufio.NewReader(out)
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.limit = time.AfterFunc(2*time.Minute, func() { _ = r.cmd.Process.Kill() })
	t.Cleanup(r.close)
	return r
}

// running is a client program that takes records.
type running struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	errs  bytes.Buffer
	limit *time.Timer
	ended bool
}

func (r *running) send(rs []record) ([]stored, error) {
	var lines bytes.Buffer
	for _, s := range rs {
		fmt.Fprintf(&lines, "%s\t%s\t%s\t%d\n", hexField(s.key), hexField(s.value), hexHeaders(s.headers), s.timestamp)
	}
	lines.WriteByte('\n')
	written := make(chan struct{}) // the program may answer before it has read everything
	go func() {
		defer close(written)
		_, _ = r.in.Write(lines.Bytes()) // a program that ends early is told by what it printed
	}()
	defer func() { <-written }()
	got := make([]stored, len(rs))
	for i := range got {
		line, err := r.out.ReadString('\n')
		if err == nil {
			_, err = fmt.Sscanf(line, "%d\t%d", &got[i].partition, &got[i].offset)
		}
		if err != nil {
			return nil, r.end(fmt.Errorf("%d of %d records were reported, then %q: %w", i, len(rs), line, err))
		}
	}
	return got, nil
}

// end waits for the program and returns what it says of cause.
func (r *running) end(cause error) error {
	r.ended = true
	_ = r.in.Close()
	_, _ = io.Copy(io.Discard, r.out)
	err := r.cmd.Wait()
	r.limit.Stop()
	if err == nil {
		return cause
	}
	return &programError{err, string(tail(r.errs.Bytes()))}
}

func (r *running) close() {
	if r.ended {
		return
	}
	if err := r.end(nil); err != nil {
		r.t.Errorf("%s: %v", strings.Join(r.cmd.Args, " "), err)
	}
}

func (p program) consume(t *testing.T, broker, topic string) []stored {
	t.Helper()
	var got []stored
	for line := range bytes.Lines(output(t, nil, p.command("consume", broker, topic)...)) {
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

func (p program) follow(ctx context.Context, broker, topic string, said chan<- string) error {
	return followProgram(ctx, p.command("follow", broker, topic), said)
}

// refusal is what the client makes of the broker's answer to a transactional id.
func (p program) refusal(t *testing.T, broker string) string {
	t.Helper()
	return string(output(t, nil, p.command("transaction", broker)...))
}

func (p program) topics(t *testing.T, broker string) map[string]int {
	t.Helper()
	found := map[string]int{}
	for line := range bytes.Lines(output(t, nil, p.command("topics", broker)...)) {
		name, count, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), "\t")
		found[name] = int(number(t, count))
	}
	return found
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
