package main

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestConsumeAsMember(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("1\n2\n3\n4\n5\n", words("produce orders -p 0")...)
	if got := s.ok("", words("consume orders -g billing -n 2")...); got != "1\n2\n" {
		t.Errorf("first: %q", got)
	}
	if got := s.ok("", words("consume orders -g billing -n 1 -o end -f json")...); !strings.Contains(got, `"value":"3"`) {
		t.Errorf("-o counts only without an offset: %q", got)
	}
	r := s.background("consume orders -g billing")
	waitFor(t, "the rest", func() bool { return r.out.String() == "4\n5\n" })
	s.ok("6\n", words("produce orders -p 0")...)
	waitFor(t, "what comes", func() bool { return r.out.String() == "4\n5\n6\n" })
	if code := r.end(); code != exitInterrupted || r.errs.String() != "" {
		t.Errorf("exit %d: %s", code, r.errs.String())
	}
	if g := describeGroup(s, "billing"); g.State != "Empty" || len(g.Partitions) != 1 || g.Partitions[0].Committed != 6 {
		t.Errorf("after Ctrl-C: %+v", g)
	}

	tail := s.background("consume orders -g tail -o end")
	waitFor(t, "the member has partitions", func() bool {
		r := s.run("", words("group describe tail -o json")...)
		return r.code == exitDone && len(decode[[]groupView](t, r.out)[0].Partitions) > 0
	})
	waitFor(t, "only what comes", func() bool { // its offsets are resolved some time after it has joined
		s.ok("later\n", words("produce orders -p 0")...)
		return strings.HasPrefix(tail.out.String(), "later\n")
	})
	tail.end()

	for args, word := range map[string]string{
		"-o 5": "-o is start, end or @TIME", "-o :end": "-o is start", "-o -1": "-o is start", "-p 0": "does not go with -p",
	} {
		s.fails(exitUsage, "", words("consume orders -g billing "+args), word)
	}
	s.fails(exitUsage, "", []string{"consume", "orders", "-g", ""}, "the group has no name")
	s.fails(exitFailed, "", words("consume nope -g billing"), "topic nope: there is no such topic")
}

func TestMemberAtATerminal(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("", words("topic create orders -p 2")...)
	s.ok("1\n", words("produce orders -p 0")...)
	c, out, _ := s.cli("")
	var errs lockedBuffer
	c.err, c.errTTY = &errs, true
	if code := c.run(t.Context(), words("consume orders -g billing -n 1")); code != exitDone || out.String() != "1\n" {
		t.Errorf("exit %d: %s", code, out)
	}
	if want := "reading orders-0, orders-1; Ctrl-C commits and leaves\n"; errs.String() != want {
		t.Errorf("said %q, want %q", errs.String(), want)
	}
}

// failing is a stdout that takes nothing.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("broken") }

func TestWhatIsNotPrintedIsNotCommitted(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("1\n2\n", words("produce orders -p 0")...)
	c, _, errs := s.cli("")
	c.out = failing{}
	if code := c.run(t.Context(), words("consume orders -g billing -n 2")); code != exitFailed || !strings.Contains(errs.String(), "broken") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if got := s.ok("", words("consume orders -g billing -n 2")...); got != "1\n2\n" {
		t.Errorf("printed at last: %q", got)
	}
}

func TestMemberLeavesAtSIGTERM(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("a\n", words("produce orders -p 0")...)
	env := append(cleanEnv(), "QUIRE_TEST_AS_MAIN=1", "QUIRE_BROKERS="+s.addr)
	member := startProcess(t, t.TempDir(), env, os.Args[0], "consume", "orders", "-g", "billing")
	waitFor(t, "the record is printed", func() bool { return member.out.String() == "a\n" })
	if err := member.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := member.exitCode(t); code != exitInterrupted || member.errs.String() != "" {
		t.Errorf("exit %d: %s", code, member.errs.String())
	}
	if g := describeGroup(s, "billing"); g.State != "Empty" || g.Partitions[0].Committed != 1 {
		t.Errorf("after SIGTERM: %+v", g)
	}
}
