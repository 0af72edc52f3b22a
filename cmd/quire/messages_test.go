package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quirelog/quire/broker/config"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestWhatTheBrokerRefuses(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("", words("topic create t -p 2")...)
	large := strings.Repeat("x", 1200<<10) + "\n"
	for _, tc := range []struct{ stdin, args, want string }{
		{"x\n", "produce t -p 9", "topic t has no partition 9\nhint: quire topic describe t\n"},
		{large, "produce t", "a record is larger than its max.message.bytes (MESSAGE_TOO_LARGE)\nhint: quire topic config t -c "},
		{"x\n", "produce t -f %d\\n", "record 1 of the input does not match the format"},
		{"", "topic create u -p 0", "hint: quire topic create u -p 6\n"},
		{"", "topic create u -c segmnt.ms=1d", "hint: did you mean segment.ms? all keys: quire topic create --help\n"},
	} {
		s.fails(exitFailed, tc.stdin, words(tc.args), tc.want)
	}
	s.ok("", words("topic config t -c max.message.bytes=2MiB")...)
	s.ok(large, words("produce t -p 0")...)
	if got := s.ok("", words("consume t -o :end")...); got != large {
		t.Errorf("read %d bytes of %d", len(got), len(large))
	}
	// A timestamp of 1970 must not count as a record that waits since then.
	s.ok("1000 old\n", "produce", "t", "-p", "1", "-f", "%d %v\\n", "--timeout", "5s")
	if got := s.ok("", "consume", "t", "-p", "1", "-o", ":end", "-f", "%d %v"); got != "1000 old" {
		t.Errorf("got %q", got)
	}
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &deadlines{timeout: 5 * time.Second}
		first := d.context(t.Context(), time.Now())
		<-time.After(999 * time.Millisecond) // of the bubble's clock
		if d.context(t.Context(), time.Now()) != first {
			t.Error("a second context within a second")
		}
		<-time.After(time.Millisecond)
		second := d.context(t.Context(), time.Now())
		<-time.After(4 * time.Second)
		synctest.Wait()
		if first.Err() == nil || second.Err() != nil {
			t.Errorf("after 5 s: %v, %v", first.Err(), second.Err())
		}
		<-time.After(time.Second)
		synctest.Wait()
		if second.Err() == nil {
			t.Error("the second never ends")
		}
	})
	if d := (*deadlines)(nil); d.context(t.Context(), time.Now()) != t.Context() {
		t.Error("no deadlines, and yet a context of its own")
	}
}

func TestPutOffIsToldOnce(t *testing.T) {
	var errs bytes.Buffer
	r := &reconnecting{cli: &cli{err: &errs}}
	for range 3 {
		r.Log(kgo.LogLevelDebug, "produced", "broker", "1", "to", "t[0{retrying@-1,1(KAFKA_STORAGE_ERROR: Disk error.)}]")
		r.Log(kgo.LogLevelDebug, "produced", "broker", "1", "to", "t[0{0=>1}]")
		r.Log(kgo.LogLevelDebug, "other")
	}
	want := "its disk is nearly full, or the partition's files are damaged (KAFKA_STORAGE_ERROR)"
	if errs.String() != "the broker puts records off: "+want+"; trying again\n" || r.why() != ": "+want {
		t.Errorf("said %q, why %q", errs.String(), r.why())
	}
}

// full is a stdout on a full disk.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestAnswersThatCannotBeWritten(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("x\n", words("produce t")...)
	for _, args := range []string{"version", "topic list", "topic describe t", "topic list -o json", "consume t -o :end", "generate config"} {
		c, _, errs := s.cli("")
		c.out = full{}
		code := c.run(t.Context(), words(args))
		if code != exitFailed || strings.Count(errs.String(), "no space left") != 1 {
			t.Errorf("%s: exit %d: %s", args, code, errs)
		}
	}
}

func TestQuestionInterrupted(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("", words("topic create a -p 1")...)
	c, _, _ := s.cli("")
	in, typing := io.Pipe()
	defer typing.Close()
	var errs lockedBuffer
	c.in, c.inTTY, c.err = in, true, &errs
	ctx, interrupt := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() { code <- c.run(ctx, words("topic delete a")) }()
	waitFor(t, "the question", func() bool { return strings.HasSuffix(errs.String(), "[y/N] ") })
	interrupt()
	if got := <-code; got != exitInterrupted {
		t.Errorf("exit %d: %s", got, errs.String())
	}
	if got := s.ok("", words("topic list -o jsonl")...); !strings.Contains(got, `"a"`) {
		t.Errorf("left: %s", got)
	}
}

func TestConsumeOfADeletedTopicEnds(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("x\n", words("produce gone")...)
	c, _, _ := s.cli("")
	var out, errs lockedBuffer
	c.out, c.err = &out, &errs
	code := make(chan int, 1)
	go func() { code <- c.run(t.Context(), words("consume gone")) }()
	waitFor(t, "the record", func() bool { return out.String() == "x\n" })
	s.ok("", words("topic delete gone -y")...)
	if got := <-code; got != exitFailed || !strings.Contains(errs.String(), "topic gone: it was deleted meanwhile") {
		t.Errorf("exit %d: %s", got, errs.String())
	}
}

func TestStartErrorsSayWhatToRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	free := []string{"--kafka-addr", "127.0.0.1:0", "--http-addr", "", "--rpc-addr", "127.0.0.1:0"}
	shell{t: t}.fails(exitFailed, "", append([]string{"serve", "--data-dir", file}, free...),
		"not a directory", "hint: name a directory that can be written: quire serve --kafka-addr 127.0.0.1:0 --http-addr '' --rpc-addr 127.0.0.1:0 --data-dir DIR\n")
	dir := t.TempDir()
	_, errs, stop := shell{t: t}.start(append([]string{"serve", "--data-dir", dir}, free...)...)
	startedAddr(t, errs)
	stop()
	shell{t: t}.fails(exitFailed, "", append([]string{"serve", "--data-dir", dir, "--node-id", "3"}, free...),
		"belongs to node 1", "hint: start it with --node-id 1")

	r := running{command: "serve", flags: []string{"--data-dir", "/d", "--kafka-addr", "192.0.2.1:9092"}}
	listen := &net.OpError{Op: "listen", Err: syscall.EADDRNOTAVAIL}
	f, ok := errors.AsType[*failure](startError(listen, config.Default(), r))
	if want := "quire serve --data-dir /d --kafka-addr " + defaultBroker; !ok || f.hint != want {
		t.Errorf("hint %+v, want %s", f, want)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"acks", "brokers", "compression", "format", "header"}
	for word, want := range map[string]string{"ack": "acks", "broker": "brokers", "comp": "compression", "fromat": "format", "zz": "", "topic": ""} {
		if got := nearest(word, names); got != want {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
}
