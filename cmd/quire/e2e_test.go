package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quirelog/quire/broker"
	"github.com/quirelog/quire/broker/config"
)

// deadline bounds whatever a test waits for.
const deadline = 20 * time.Second

// startBroker runs a broker in this process and returns its address.
func startBroker(t *testing.T) string {
	t.Helper()
	return startBrokerOn(t, t.TempDir())
}

// startBrokerOn is startBroker with a data directory that the test looks into.
func startBrokerOn(t *testing.T, dir string) string {
	t.Helper()
	cfg := config.Default()
	cfg.DataDir, cfg.KafkaAddr, cfg.HTTPAddr, cfg.RPCAddr = dir, "127.0.0.1:0", "", "127.0.0.1:0"
	fatal := func(err error) { t.Errorf("fatal: %v", err) }
	b, err := broker.Start(t.Context(), cfg, broker.Options{Version: release, OnFatal: fatal})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Errorf("close the broker: %v", err)
		}
	})
	return b.Addr()
}

// shell runs commands against one broker, as a user without a terminal would.
type shell struct {
	t    *testing.T
	addr string
}

// result is what a command left behind.
type result struct {
	out, err string
	code     int
}

func (s shell) cli(stdin string) (*cli, *bytes.Buffer, *bytes.Buffer) {
	var out, errs bytes.Buffer
	return &cli{
		in: strings.NewReader(stdin), out: &out, err: &errs, self: "quire", env: []string{"QUIRE_BROKERS=" + s.addr},
		exit: func(code int) { s.t.Errorf("exit %d", code) },
	}, &out, &errs
}

func (s shell) run(stdin string, args ...string) result {
	s.t.Helper()
	c, out, errs := s.cli(stdin)
	ctx, cancel := context.WithTimeout(s.t.Context(), deadline)
	defer cancel()
	code := c.run(ctx, args)
	if ctx.Err() != nil {
		s.t.Fatalf("quire %s: not done within %s", strings.Join(args, " "), deadline)
	}
	return result{out.String(), errs.String(), code}
}

// ok runs a command that must succeed without a word on stderr, and returns its answer.
func (s shell) ok(stdin string, args ...string) string {
	s.t.Helper()
	r := s.run(stdin, args...)
	if r.code != exitDone || r.err != "" {
		s.t.Fatalf("quire %s: exit %d: %s", strings.Join(args, " "), r.code, r.err)
	}
	return r.out
}

// fails runs a command that must end with code and say each of words on stderr.
func (s shell) fails(code int, stdin string, args []string, words ...string) {
	s.t.Helper()
	r := s.run(stdin, args...)
	if r.code != code {
		s.t.Errorf("quire %s: exit %d, want %d: %s", strings.Join(args, " "), r.code, code, r.err)
	}
	for _, w := range words {
		if !strings.Contains(r.err, w) {
			s.t.Errorf("quire %s: %q is not in: %s", strings.Join(args, " "), w, r.err)
		}
	}
}

func sortLines(s string) string {
	return strings.Join(slices.Sorted(strings.Lines(s)), "")
}

func words(s string) []string { return strings.Fields(s) }

func decode[T any](t *testing.T, s string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatalf("%v in %s", err, s)
	}
	return v
}

func TestTopics(t *testing.T) {
	s := shell{t, startBroker(t)}
	if got := s.ok("", words("topic list -o json")...); got != "[]\n" {
		t.Errorf("no topics: %s", got)
	}
	got := s.ok("", words("topic create orders -p 6 -r 1 -c segment.ms=1d -c segment.bytes=64MiB")...)
	if got != "created topic orders: 6 partitions, 1 replica\n" {
		t.Errorf("create: %s", got)
	}
	s.fails(exitFailed, "", words("topic create orders"),
		"error: topic orders: it exists already", "hint: quire topic describe orders")
	s.ok("", words("topic create orders --if-not-exists")...)
	s.fails(exitFailed, "", words("topic create x -c no.such.key=1"), "error: topic x:", "INVALID_CONFIG")
	s.fails(exitUsage, "", words("topic create x -c segment.ms=soon"), "error:")
	s.fails(exitFailed, "", words("topic create a/b"), "INVALID_TOPIC_EXCEPTION")
	if got := s.ok("", words("topic list")...); got != "TOPIC   PARTITIONS  REPLICAS\norders           6         1\n" {
		t.Errorf("list: %q", got)
	}

	v := decode[[]topicView](t, s.ok("", words("topic describe orders -o json")...))[0]
	if v.Partitions != 6 || len(v.Details) != 6 || v.Details[5].Leader < 1 || v.Details[5].End != 0 {
		t.Errorf("describe: %+v", v)
	}
	set := []configView{{"segment.bytes", "67108864", "topic"}, {"segment.ms", "86400000", "topic"}}
	if !slices.Equal(v.Configs[:2], set) {
		t.Errorf("describe: configuration %+v", v.Configs[:2])
	}
	if got := s.ok("", words("topic describe orders")...); !strings.Contains(got, "64MiB") {
		t.Errorf("describe: no human value in %s", got)
	}

	configs := decode[[]configView](t, s.ok("", words("topic config orders -c segment.ms=2h --unset segment.bytes -o json")...))
	if configs[0] != (configView{"segment.ms", "7200000", "topic"}) || configs[1].Source == "topic" {
		t.Errorf("config: %+v", configs[:2])
	}
	s.fails(exitFailed, "", words("topic config orders -c segment.ms=2h -c message.timestamp.type=Later"), "INVALID_CONFIG")
	if got := s.ok("", words("topic add-partitions orders -n 2")...); got != "topic orders: 8 partitions\n" {
		t.Errorf("add-partitions: %s", got)
	}
	s.fails(exitFailed, "", words("topic describe nope"), "error: topic nope: there is no such topic", "hint: quire topic list")
}

func TestTopicDeleteAsks(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("", words("topic create a b -p 1")...)
	s.ok("x\ny\n", words("produce a")...)
	s.fails(exitUsage, "y\n", words("topic delete a b"), "refusing to delete a, b", "hint: quire topic delete a b -y")
	if got := s.ok("", words("topic delete a --dry-run")...); got != "would delete topic a (1 partition, 2 records)\n" {
		t.Errorf("dry run: %s", got)
	}
	for _, tc := range []struct {
		answer string
		code   int
	}{{"\n", exitFailed}, {"", exitFailed}, {"n\n", exitFailed}, {"y\n", exitDone}} {
		c, _, errs := s.cli(tc.answer)
		c.inTTY = true
		if code := c.run(t.Context(), words("topic delete a")); code != tc.code {
			t.Errorf("answer %q: exit %d, want %d", tc.answer, code, tc.code)
		}
		if !strings.Contains(errs.String(), "delete a (1 partition, 2 records)? [y/N] ") {
			t.Errorf("asked %q", errs)
		}
	}
	s.fails(exitFailed, "", words("topic delete a b -y"), "topic a: there is no such topic")
	s.ok("", words("topic delete b -y")...)
	if got := s.ok("", words("topic list -o jsonl")...); got != "" {
		t.Errorf("left: %s", got)
	}
}

func TestProduceAndConsume(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("", words("topic create orders -p 6")...)
	for _, key := range words("21 foobar user_123 customer_456") {
		s.ok("of "+key+"\n", "produce", "orders", "-k", key)
	}
	want := "0 0 21 of 21\n0 1 foobar of foobar\n4 0 customer_456 of customer_456\n5 0 user_123 of user_123\n"
	if got := s.ok("", "consume", "orders", "-o", ":end", "-f", `%p %o %k %v\n`); sortLines(got) != want {
		t.Errorf("got %s", got)
	}
	s.ok("k\tv\nl\t", "produce", "made.on.first.use", "-f", `%k\t%v\n`, "-p", "0", "-H", "a=1", "-z", "zstd")
	s.ok("\n", "produce", "made.on.first.use", "-k", "k", "-Z", "-p", "0", "--acks", "1", "-z", "none")
	s.ok("acks 0\n", words("produce made.on.first.use -p 1 --acks 0")...)
	got := s.ok("", words("consume made.on.first.use -o :end -f json -p 0")...)
	for i, want := range []string{
		`"key":"k","value":"v","headers":[{"key":"a","value":"1"}]}`, `"key":"l","value":"","headers":[{"key":"a","value":"1"}]}`,
		`"key":"k","value":null}`, "",
	} {
		if line := strings.Split(got, "\n")[i]; !strings.HasSuffix(line, want) {
			t.Errorf("record %d: %s, want %s", i, line, want)
		}
	}
	s.fails(exitUsage, "x\n", words("produce orders -z brotli"), "brotli")
	s.fails(exitUsage, "x\n", words("produce orders --acks 2"), "--acks")
	s.fails(exitUsage, "x\n", words("produce orders -f %q"), "-f")
	s.fails(exitUsage, "x\n", words("produce"), "needs a TOPIC")
	s.fails(exitFailed, "x\n", words("produce orders -p 6"), "1 of 1 record not sent", "topic orders")
	s.fails(exitFailed, "9 x\n", []string{"produce", "orders", "-f", "%V %v\n"}, "record 1 of the input")
}

// Whoever asks for compaction is told that there is none yet.
func TestCompactionIsToldMissing(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.fails(exitDone, "", words("topic create a -c cleanup.policy=compact"), "note: Quire does not compact yet")
	s.ok("", words("topic create b -c cleanup.policy=delete")...)
	s.fails(exitDone, "", words("topic config b -c cleanup.policy=delete,compact"), "note: Quire does not compact yet")
	s.ok("", words("topic config b --unset cleanup.policy")...)
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	for tick := time.NewTicker(2 * time.Millisecond); !is(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within %s", what, deadline)
		}
	}
}

func TestProduceAtATerminal(t *testing.T) {
	s := shell{t, startBroker(t)}
	c, _, errs := s.cli("a\nb\n")
	c.inTTY, c.errTTY = true, true
	if code := c.run(t.Context(), words("produce typed -p 1")); code != exitDone {
		t.Fatalf("exit %d: %s", code, errs)
	}
	if want := "one record a line, Ctrl-D ends\nsent 2 records to typed/1\n"; errs.String() != want {
		t.Errorf("said %q, want %q", errs, want)
	}
}

func TestProduceInterrupted(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("", words("topic create slow -p 1")...)
	c, _, errs := s.cli("")
	in, typing := io.Pipe()
	c.in = in
	ctx, interrupt := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() { code <- c.run(ctx, words("produce slow")) }()
	if _, err := io.WriteString(typing, "kept\nhalf a li"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the first line is sent", func() bool { return s.ok("", words("consume slow -o :end")...) == "kept\n" })
	interrupt()
	if got := <-code; got != exitInterrupted {
		t.Errorf("exit %d: %s", got, errs)
	}
	typing.Close()
}

func TestCluster(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("", words("topic create a -p 3")...)
	v := decode[clusterView](t, s.ok("", words("cluster info -o json")...))
	if v.ClusterID == "" || v.Controller != 1 || v.Partitions < 3 || len(v.Brokers) != 1 || v.Brokers[0].Address != s.addr {
		t.Errorf("info: %+v", v)
	}
	if got := s.ok("", words("cluster info")...); !strings.Contains(got, s.addr) || !strings.HasSuffix(got, "  controller\n") {
		t.Errorf("info: %s", got)
	}
	if got := s.ok("", words("cluster health")...); !strings.HasPrefix(got, "healthy: 1 broker, 3 partitions") {
		t.Errorf("health: %s", got)
	}
	for _, cmd := range []string{"cluster health", "topic list", "consume a", "produce a"} {
		s.fails(exitUnreachable, "", append(words(cmd), "--bootstrap-server", "127.0.0.1:1"), "error: no broker at 127.0.0.1:1", "hint:")
	}
	s.fails(exitUsage, "", words("cluster info -o xml"), "xml")
}

func TestCompletionKnowsTopics(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("", words("topic create orders orders2 events -p 1")...)
	for args, want := range map[string]string{
		"consume or":            "orders orders2 :4",
		"consume orders or":     "orders2 :4",
		"produce e":             "events :4",
		"produce orders ev":     ":4",
		"topic describe ev":     "events :4",
		"topic delete orders e": "events :4",
	} {
		r := s.run("", append([]string{"__complete"}, words(args)...)...)
		if got := strings.Join(words(r.out), " "); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
	for _, sh := range words("bash zsh fish powershell") {
		if got := s.ok("", "completion", sh); !strings.Contains(got, "quire") {
			t.Errorf("%s: %s", sh, got)
		}
	}
	s.fails(exitUsage, "", words("completion tcsh"), "tcsh")
}

// All records of one key are found, in whatever partition a producer put them, and none of another or of no key.
// Records that are damaged on disk are not printed; the error says where to look.
