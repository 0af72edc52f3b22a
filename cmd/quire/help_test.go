package main

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func commands(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			all = append(all, commands(sub)...)
		}
	}
	return all
}

func TestCommandTree(t *testing.T) {
	root := (&cli{out: io.Discard, err: io.Discard}).rootCommand()
	var tree []string
	for _, cmd := range commands(root) {
		tree = append(tree, cmd.CommandPath())
		if cmd.Short == "" || !strings.Contains(cmd.Example, "quire ") {
			t.Errorf("%s: no examples", cmd.CommandPath())
		}
		var help bytes.Buffer
		cmd.SetOut(&help)
		if err := cmd.Help(); err != nil || !strings.HasPrefix(help.String(), "Examples:\n") {
			t.Errorf("%s: %v, the help starts with %.40q", cmd.CommandPath(), err, &help)
		}
		for line := range strings.Lines(help.String()) {
			if len(line) > 141 {
				t.Errorf("%s: %d columns: %s", cmd.CommandPath(), len(line), line)
			}
		}
	}
	want := []string{
		"quire", "quire serve", "quire dev", "quire topic", "quire topic create", "quire topic list", "quire topic describe",
		"quire topic config", "quire topic add-partitions", "quire topic trim", "quire topic delete", "quire produce", "quire consume", "quire group",
		"quire group list", "quire group describe", "quire group seek", "quire group delete", "quire group offset-delete", "quire cluster",
		"quire cluster info", "quire cluster health", "quire cluster partitions", "quire cluster move", "quire cluster drain", "quire cluster unregister", "quire storage", "quire storage dump", "quire storage verify",
		"quire bench", "quire bench produce", "quire bench consume", "quire bench e2e",
		"quire generate", "quire generate config", "quire generate systemd", "quire completion", "quire version",
	}
	if !slices.Equal(tree, want) {
		t.Errorf("the tree is\n%s", strings.Join(tree, "\n"))
	}
}

func TestUsageErrors(t *testing.T) {
	for args, want := range map[string]string{
		"nope":         "error: quire has no command \"nope\"\nhint: quire --help\n",
		"topic lst":    "error: quire topic has no command \"lst\"\nhint: quire topic list\n",
		"consume":      "error: quire consume needs a TOPIC\nhint: quire consume --help\n",
		"topic list x": "error: quire topic list takes no arguments; not understood: x\nhint: quire topic list --help\n",
		"produce a b": "error: quire produce takes one TOPIC (or %t in the format); not understood: b\n" +
			"hint: quire produce --help\n",
		"topic create --bad": "error: quire topic create has no flag --bad\nhint: quire topic create --help\n",
		"topc list":          "error: quire has no command \"topc\"\nhint: quire topic list\n",
		"consume t -n many":  "error: quire consume: --num \"many\": want a whole number\nhint: quire consume --help\n",
		"consume t -p x":     "error: quire consume: --partitions \"x\": want whole numbers, separated by commas\nhint: quire consume --help\n",
		"produce t --timeout 5": "error: quire produce: --timeout \"5\": want a time with its unit, such as 30s\n" +
			"hint: quire produce --help\n",
		"produce t --timeout 2ms": "error: --timeout 2ms: want a second or more, or 0 for never\n",
		"produce t --ack 1": "error: quire produce has no flag --ack\n" +
			"hint: did you mean --acks? all flags: quire produce --help\n",
		"consume t -o 5:3": "error: -o \"5:3\" ends before it starts\nhint: quire consume --help\n",
		"help topc":        "error: quire has no command \"topc\"\nhint: quire topic\n",
		"serve --config no.toml": "error: configuration: read configuration: open no.toml: no such file or directory\n" +
			"hint: quire generate config > no.toml\n",
		"serve --num-partitions 0": "error: configuration: num.partitions = \"0\" (--num-partitions): must be from 1 to 100000\n" +
			"hint: quire generate config\n",
	} {
		r := shell{t, "127.0.0.1:1"}.run("", words(args)...)
		if r.code != exitUsage || r.err != want || r.out != "" {
			t.Errorf("%s: exit %d, out %q, err\n%s\nwant\n%s", args, r.code, r.out, r.err, want)
		}
	}
}

func TestWithoutABroker(t *testing.T) {
	s := shell{t, "127.0.0.1:1"}
	if got := s.ok("", "version"); !strings.HasPrefix(got, "quire "+release+" (") {
		t.Errorf("version: %s", got)
	}
	if v := decode[versionView](t, s.ok("", words("version -o json")...)); v.Version != release || v.Go == "" {
		t.Errorf("version: %+v", v)
	}
	if got := s.ok("", words("generate config")...); !strings.Contains(got, "data-dir") {
		t.Errorf("generate config: %s", got)
	}
	if got := s.ok("", words("serve --check --durability os")...); got != "the configuration is valid\n" {
		t.Errorf("check: %s", got)
	}
}

func TestSeeds(t *testing.T) {
	for _, tc := range []struct {
		flag, env []string
		want      string
	}{
		{nil, nil, "127.0.0.1:9092"},
		{nil, []string{"QUIRE_BROKERS=a:1,b:2"}, "a:1 b:2"},
		{[]string{"c:3"}, []string{"QUIRE_BROKERS=a:1"}, "c:3"},
	} {
		c := &cli{brokers: tc.flag, env: tc.env}
		if got := strings.Join(c.seeds(), " "); got != tc.want {
			t.Errorf("%+v: %s", tc, got)
		}
	}
}
