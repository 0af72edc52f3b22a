package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

func TestAnswerFormats(t *testing.T) {
	list := []topicSummary{{Topic: "a<b", ID: "x", Partitions: 2, Replicas: 1}, {Topic: "1", ID: "y", Partitions: 1, Replicas: 1}}
	for format, want := range map[string]string{
		"table": "human\n",
		"jsonl": `{"topic":"a<b","id":"x","partitions":2,"replicas":1}` + "\n" +
			`{"topic":"1","id":"y","partitions":1,"replicas":1}` + "\n",
		"yaml": "- topic: \"a<b\"\n  id: \"x\"\n  partitions: 2\n  replicas: 1\n" +
			"- topic: \"1\"\n  id: \"y\"\n  partitions: 1\n  replicas: 1\n",
		"json": "[\n  {\n    \"topic\": \"a<b\",\n    \"id\": \"x\",\n    \"partitions\": 2,\n    \"replicas\": 1\n  },\n" +
			"  {\n    \"topic\": \"1\",\n    \"id\": \"y\",\n    \"partitions\": 1,\n    \"replicas\": 1\n  }\n]\n",
	} {
		var out bytes.Buffer
		c := &cli{out: &out, format: format}
		if err := c.answer(list, func(w io.Writer) { fmt.Fprintln(w, "human") }); err != nil || out.String() != want {
			t.Errorf("%s: %v\n got %s\nwant %s", format, err, &out, want)
		}
	}
	var out bytes.Buffer
	c := &cli{out: &out, format: "jsonl"}
	if err := c.answer(topicSummary{Topic: "a"}, nil); err != nil || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("one object: %v %q", err, &out)
	}
}

func TestTableFitsTheTerminal(t *testing.T) {
	tab := table{titles: []string{"NAME", "N>"}}
	tab.add("a-rather-long-näme-of-a-topic", 12)
	tab.add("b", 3)
	for width, want := range map[int]string{
		0:  "NAME                            N\na-rather-long-näme-of-a-topic  12\nb                               3\n",
		16: "NAME           N\na-rather-lo…  12\nb              3\n",
	} {
		var out bytes.Buffer
		tab.write(&out, width)
		if out.String() != want {
			t.Errorf("width %d:\n got %q\nwant %q", width, &out, want)
		}
	}
}

func TestReport(t *testing.T) {
	dial := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for _, tc := range []struct {
		err  error
		code int
		want string
	}{
		{errors.Join(errors.New("a"), errors.New("b")), exitFailed, "error: a; b\n"},
		{usageError("quire topic --help", "no"), exitUsage, "error: no\nhint: ./bin/quire topic --help\n"},
		{fmt.Errorf("x: %w", dial), exitUnreachable, "error: x: dial: connection refused\n"},
		{fmt.Errorf("x: %w", kerr.TopicAuthorizationFailed), exitNotAllowed, ""},
		{brokerError(kerr.RequestTimedOut, ""), exitUnreachable, ""},
		{errInterrupted, exitInterrupted, ""},
		{errors.Join(errInterrupted, io.EOF), exitInterrupted, ""},
		{errUnhealthy, exitUnhealthy, ""},
		{brokerError(kerr.InvalidConfig, "no such key."), exitFailed, "error: no such key (INVALID_CONFIG)\n"},
	} {
		var out bytes.Buffer
		c := &cli{err: &out, self: "./bin/quire"}
		if code := c.report(tc.err); code != tc.code || tc.want != "" && out.String() != tc.want {
			t.Errorf("%v: code %d, want %d; %q, want %q", tc.err, code, tc.code, &out, tc.want)
		}
	}
}

func TestNoColor(t *testing.T) {
	for _, tc := range []struct {
		tty  bool
		env  []string
		want bool
	}{
		{false, nil, false}, {true, nil, true}, {true, []string{"NO_COLOR=1"}, false}, {true, []string{"TERM=dumb"}, false},
	} {
		c := &cli{errTTY: tc.tty, env: tc.env}
		if got := c.paint("31", "x") != "x"; got != tc.want {
			t.Errorf("%+v: coloured %v", tc, got)
		}
	}
}

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{"./bin/quire": "./bin/quire", "a b": "'a b'", "it's": `'it'\''s'`, "": "''"} {
		if got := shellQuote(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
