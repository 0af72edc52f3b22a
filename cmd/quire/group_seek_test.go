package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// committed are a group's offsets as "topic-partition:offset".
func committed(s shell, group string) string {
	s.t.Helper()
	var all []string
	for _, p := range describeGroup(s, group).Partitions {
		all = append(all, fmt.Sprintf("%s-%d:%d", p.Topic, p.Partition, p.Committed))
	}
	return strings.Join(all, " ")
}

func TestGroupSeek(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("", words("topic create a b -p 2")...)
	old, now := time.Now().Add(-3*time.Hour).UnixMilli(), time.Now().UnixMilli()
	for _, p := range words("0 1") {
		s.ok(fmt.Sprintf("%d 1\n%d 2\n%d 3\n%d 4\n", old, old, now, now), "produce", "a", "-p", p, "-f", `%d %v\n`)
	}
	s.ok("", words("topic trim a -p 1 --before 1 -y")...)
	s.fails(exitUsage, "", words("group seek g a --to start"), "refusing to move group g: there is no terminal",
		"hint: quire group seek g a --to start -y")
	if got := s.ok("", words("group seek g a --to start --dry-run")...); got != seekTable+"would move group g in 2 partitions\n" {
		t.Errorf("dry run: %q, want %q", got, seekTable)
	}
	s.fails(exitFailed, "", words("group describe g"), "there is no such group")
	for _, tc := range []struct{ args, want string }{
		{"a --to start", "a-0:0 a-1:1"},
		{"--to end", "a-0:4 a-1:4"},
		{"a:0 --to 1", "a-0:1 a-1:4"},
		{"--to +2", "a-0:3 a-1:4"},
		{"--to -1", "a-0:2 a-1:3"},
		{"--to 0", "a-0:0 a-1:1"},
		{"--to -2h", "a-0:2 a-1:2"},
		{"--to @2100-01-01", "a-0:4 a-1:4"},
		{"a:0,1 --to @-4h", "a-0:0 a-1:1"},
		{"b:1 --to 0", "a-0:0 a-1:1 b-1:0"},
	} {
		s.ok("", words("group seek g -y "+tc.args)...)
		if got := committed(s, "g"); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.args, got, tc.want)
		}
	}
	s.ok("", words("group seek h --to-group g -y")...)
	if got := committed(s, "h"); got != "a-0:0 a-1:1 b-1:0" {
		t.Errorf("--to-group: %s", got)
	}
	moves := decode[[]move](t, s.ok("", words("group seek g a:1 --to 99 -y -o json")...))
	if m := moves[0]; m.Before != 1 || m.After != 4 || m.Lag != 0 || !m.Moved || m.Note != "offset 99 is not in the log: its end instead" {
		t.Errorf("beyond the end: %+v", m)
	}
	if got := s.ok("", words("group seek g a:1 --to 0 --dry-run")...); !strings.Contains(got, "offset 0 is not in the log: its start instead") {
		t.Errorf("before the start: %s", got)
	}
}

const seekTable = "TOPIC  PARTITION  BEFORE  AFTER  LAG\n" +
	"a              0       -      0    4\n" +
	"a              1       -      1    3\n"

func TestGroupSeekRefuses(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("x\n", words("produce a -p 0")...)
	s.ok("", words("consume a -g g -n 1")...)
	for args, word := range map[string]string{
		"g --to soon":           `--to "soon": want start, end, an offset`,
		"g --to @soon":          `"soon" is not a time`,
		"g --to -2y":            `is not a time`,
		"g":                     "either --to or --to-group",
		"g --to 1 --to-group h": "either --to or --to-group",
		"g a:x --to 1":          `"x" is not a partition`,
		"g a: --to 1":           "want TOPIC or TOPIC:PARTITION",
	} {
		s.fails(exitUsage, "", words("group seek "+args+" -y"), word, "hint: quire group seek --help")
	}
	for args, word := range map[string]string{
		"nope --to 1":     "there is no such group",
		"g nope --to 1":   "topic nope: there is no such topic",
		"g a:9 --to 1":    "has no partition 9",
		"g a:1 --to +1":   "group g has no offset of a-1",
		"g --to-group no": "group no: there is no such group",
	} {
		s.fails(exitFailed, "", words("group seek "+args+" -y"), word)
	}
	for answer, code := range map[string]int{"n\n": exitFailed, "y\n": exitDone} {
		c, out, errs := s.cli(answer)
		c.inTTY = true
		if got := c.run(t.Context(), words("group seek g --to 0")); got != code ||
			!strings.Contains(errs.String(), "move group g in 1 partition? [y/N] ") || !strings.Contains(errs.String(), "BEFORE  AFTER") {
			t.Errorf("answer %q: exit %d, asked %q", answer, got, errs)
		}
		if moved := strings.Contains(out.String(), "moved group g in 1 partition"); moved != (code == exitDone) {
			t.Errorf("answer %q: said %s", answer, out)
		}
	}
}

func TestGroupDelete(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("", words("topic create a b -p 2")...)
	s.ok("", words("group seek g a b:1 --to start -y")...)
	s.ok("", words("group seek h a --to start -y")...)

	s.fails(exitUsage, "", words("group offset-delete g a"), "refusing to delete offsets of group g", "hint: quire group offset-delete g a -y")
	s.fails(exitFailed, "", words("group offset-delete g b:0 -y"), "group g has no offset of b-0", "hint: quire group describe g")
	if got := s.ok("", words("group offset-delete g a:1 --dry-run")...); got != "would delete offset 0 of group g in a-1\n" {
		t.Errorf("dry run: %s", got)
	}
	if got := s.ok("", words("group offset-delete g a:1 b:1 -y")...); got !=
		"deleted offset 0 of group g in a-1\ndeleted offset 0 of group g in b-1\n" {
		t.Errorf("offset-delete: %s", got)
	}
	if got := committed(s, "g"); got != "a-0:0" {
		t.Errorf("left: %s", got)
	}

	s.fails(exitUsage, "", words("group delete g h"), "refusing to delete g, h", "hint: quire group delete g h -y")
	if got := s.ok("", words("group delete g h --dry-run")...); got != "would delete group g (1 offset)\nwould delete group h (2 offsets)\n" {
		t.Errorf("dry run: %s", got)
	}
	c, _, errs := s.cli("no\n")
	c.inTTY = true
	if code := c.run(t.Context(), words("group delete g h")); code != exitFailed ||
		!strings.Contains(errs.String(), "delete group g (1 offset), h (2 offsets)? [y/N] ") || !strings.Contains(errs.String(), "nothing was changed") {
		t.Errorf("exit %d, asked %q", code, errs)
	}
	s.fails(exitFailed, "", words("group delete g nope -y"), "group nope: there is no such group")
	if got := s.ok("", words("group delete g h -y")...); got != "deleted group g (1 offset)\ndeleted group h (2 offsets)\n" {
		t.Errorf("delete: %s", got)
	}
	if got := s.ok("", words("group list -o jsonl")...); got != "" {
		t.Errorf("left: %s", got)
	}
}

func TestOffsetsThatMembersReadStay(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("x\n", words("produce a -p 0")...)
	s.ok("", words("topic create b -p 1")...)
	s.ok("", words("group seek g a:0 b --to start -y")...)
	member := s.background("consume a -g g")
	waitFor(t, "it reads", func() bool { return member.out.String() == "x\n" })
	s.fails(exitFailed, "", words("group offset-delete g a:0 -y"), "active members read the topic", "hint: stop them first")
	s.ok("", words("group offset-delete g b -y")...)
	member.end()
}
