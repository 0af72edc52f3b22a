package main

import (
	"strings"
	"testing"
)

func TestTopicTrim(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("", words("topic create a -p 2")...)
	s.ok("1\n2\n3\n4\n5\n", words("produce a -p 0")...)
	s.fails(exitUsage, "", words("topic trim a --before 2"), "there is no terminal to ask at", "hint: quire topic trim a --before 2 -y")
	s.fails(exitUsage, "", words("topic trim a -y"), "--before is missing", "hint: quire topic trim --help")
	s.fails(exitUsage, "", words("topic trim a --before 1:2 -y"), "is a range")
	s.fails(exitUsage, "", words("topic trim a --before soon -y"), "not an offset")
	s.fails(exitFailed, "", words("topic trim a -p 0 --before 6 -y"), "partition 0 of topic a ends at offset 5")
	s.fails(exitFailed, "", words("topic trim a -p 7 --before 1 -y"), "topic a has no partition 7")
	s.fails(exitFailed, "", words("topic trim b --before end -y"), "topic b: there is no such topic")
	for _, tc := range []struct{ args, want string }{
		{"--before +2 --dry-run", "would delete 2 records of a-0: it begins at offset 2\n"},
		{"-p 0 --before 2 -y", "deleted 2 records of a-0: it begins at offset 2\n"},
		{"--before +0 -y", "topic a has no records before that\n"},
		{"--before -2 -y", "deleted 1 record of a-0: it begins at offset 3\n"},
		{"--before @-1h -y", "topic a has no records before that\n"},
		{"--before @2100-01-01 -y -o jsonl", `{"partition":0,"start":3,"before":5,"records":2,"trimmed":true}` + "\n"},
	} {
		if got := s.ok("", append(words("topic trim a"), words(tc.args)...)...); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.args, got, tc.want)
		}
	}
	s.ok("6\n", words("produce a -p 0")...)
	c, _, errs := s.cli("n\n")
	c.inTTY = true
	if code := c.run(t.Context(), words("topic trim a --before end")); code != exitFailed ||
		!strings.Contains(errs.String(), "delete 1 record of topic a, in 1 partition? [y/N] ") {
		t.Errorf("exit %d, asked %q", code, errs)
	}
}
