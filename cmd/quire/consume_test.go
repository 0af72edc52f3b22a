package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quirelog/quire/client"
)

func TestConsumeRanges(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("", words("topic create r -p 2")...)
	s.ok("", words("topic create empty -p 2")...)
	for _, p := range words("0 1") { // ten records in each partition, at 1000, 2000 ... ms
		var in strings.Builder
		for i := range 10 {
			in.WriteString(strings.Join([]string{strconv.Itoa((i + 1) * 1000), strconv.Itoa(i)}, " ") + "\n")
		}
		s.ok(in.String(), "produce", "r", "-p", p, "-f", `%d %v\n`)
	}
	for _, tc := range []struct{ args, want string }{
		{"-o :end", "0 1 2 3 4 5 6 7 8 9"},
		{"-o 3:6", "3 4 5"},
		{"-o :2", "0 1"},
		{"-o 8:end", "8 9"},
		{"-o -2:end", "8 9"},
		{"-o +7:end", "7 8 9"},
		{"-o 8:99", "8 9"},
		{"-o 99:end", ""},
		{"-o @3000:5001", "2 3 4"},
		{"-o @3001:end", "3 4 5 6 7 8 9"},
		{"-o @:2500", "0 1"},
		{"-o s@9000 -o e@10000", "8"},
		{"-o @-1h:end", ""},
		{"-n 3", "0 1 2"},
		{"-n 10", "0 1 2 3 4 5 6 7 8 9"},
		{"-o beginning -n 1", "0"},
		{"-o -1 -n 1", "9"},
	} {
		got := s.ok("", append(words("consume r -p 1"), words(tc.args)...)...)
		if strings.Join(words(got), " ") != tc.want {
			t.Errorf("%s: %q, want %s", tc.args, words(got), tc.want)
		}
	}
	if got := s.ok("", words("consume r empty -o :end")...); len(words(got)) != 20 {
		t.Errorf("two topics: %q", words(got))
	}
	if got := s.ok("", words("consume empty -o :end")...); got != "" {
		t.Errorf("empty topic: %q", got)
	}
	s.fails(exitFailed, "", words("consume nope"), "topic nope: there is no such topic", "hint:")
	s.fails(exitFailed, "", words("consume emtpy"), "no such topic", "hint: did you mean empty?", "topic list")
	s.fails(exitFailed, "", words("consume r -p 2"), "has no partition 2")
	s.fails(exitUsage, "", words("consume r -o x"), "-o")
	s.fails(exitUsage, "", words("consume r -n -1"), "-n")
}

// lockedBuffer is a stderr that a test reads while a command writes.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func TestConsumeFollowsUntilInterrupted(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("old\n", words("produce tail")...)
	c, _, _ := s.cli("")
	var out, errs lockedBuffer
	c.out, c.err, c.errTTY, c.env = &out, &errs, true, append(c.env, "NO_COLOR=1")
	ctx, interrupt := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() { code <- c.run(ctx, words("consume tail -o end")) }()
	waitFor(t, "the end is announced", func() bool { return strings.Contains(errs.String(), "at the end, waiting; Ctrl-C stops\n") })
	s.ok("new\n", words("produce tail")...)
	waitFor(t, "the new record", func() bool { return out.String() == "new\n" })
	interrupt()
	select {
	case got := <-code:
		if got != exitInterrupted || errs.String() != "at the end, waiting; Ctrl-C stops\n\n" {
			t.Errorf("exit %d: %s", got, errs.String())
		}
	case <-time.After(deadline):
		t.Fatal("still consuming")
	}
}

func TestConsumeOfOneKey(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("", words("topic create r -p 3")...)
	s.ok("a 1\nb 2\na 3\n", "produce", "r", "-f", `%k %v\n`)
	for _, p := range words("0 1 2") {
		s.ok("elsewhere-"+p+"\n", "produce", "r", "-k", "a", "-p", p)
	}
	s.ok("no key\n", "produce", "r")
	s.ok("empty key\n", "produce", "r", "-k", "")
	got := strings.Split(strings.TrimSpace(s.ok("", "consume", "r", "-k", "a", "-o", ":end")), "\n")
	slices.Sort(got)
	if want := "[1 3 elsewhere-0 elsewhere-1 elsewhere-2]"; fmt.Sprint(got) != want {
		t.Errorf("key a: %v, want %s", got, want)
	}
	if got := s.ok("", "consume", "r", "-k", "", "-o", ":end"); got != "empty key\n" {
		t.Errorf("the empty key: %q", got)
	}
	if got := s.ok("", words("consume r -k b -n 1")...); got != "2\n" { // what is printed is counted, not what is read
		t.Errorf("one of key b: %q", got)
	}
	if got := s.ok("", words("consume r -k z -o :end")...); got != "" {
		t.Errorf("a key that is not there: %q", got)
	}
	s.fails(exitUsage, "", words("consume r -k a -g readers"), "-k")
}

func TestConsumeOfDamagedRecords(t *testing.T) {
	dir := t.TempDir()
	s := shell{t, startBrokerOn(t, dir)}
	s.ok("", words("topic create r -p 1")...)
	s.ok("to be damaged\n", words("produce r -z none")...)
	f, err := os.OpenFile(filepath.Join(dir, "r-0", "00000000000000000000.log"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("XX"), 70); err != nil {
		t.Fatal(err)
	}
	s.fails(exitFailed, "", words("consume r -o :end"), "topic r, partition 0", "damaged", "hint: stop the broker", "quire storage verify DIR")
	c, err := client.New(client.Options{Brokers: []string{s.addr}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, err := range c.Replay(t.Context(), "r", client.ReplayOptions{}) {
		if !client.IsDamaged(err) || !strings.Contains(err.Error(), "quire storage verify") {
			t.Errorf("replay: %v", err)
		}
	}
}
