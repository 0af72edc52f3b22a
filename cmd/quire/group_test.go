package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// describeGroup is the answer of group describe for one group.
func describeGroup(s shell, name string) groupView {
	s.t.Helper()
	return decode[[]groupView](s.t, s.ok("", words("group describe "+name+" -o json")...))[0]
}

// background is a command beside the test.
type background struct {
	out, errs *lockedBuffer
	end       func() int // interrupts it and returns its exit code
}

func (s shell) background(args string) background {
	out, errs, end := s.start(append(words(args), "-b", s.addr)...)
	return background{out, errs, end}
}

// joinModern makes a member of the new protocol, and waits until it has partitions of the topic.
func joinModern(t *testing.T, addr, group, topic string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ClientID("modern"), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.Balancers(kgo.StickyBalancer()), kgo.ServerSideBalancer(), kgo.DisableAutoCommit())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	adm := kadm.NewClient(cl)
	waitFor(t, "the member has its partitions", func() bool {
		d, _ := adm.DescribeConsumerGroups(t.Context(), group)
		g := d[group]
		return len(g.Members) == 1 && len(g.Members[0].Assignment[topic]) > 0 && g.State == "Stable"
	})
}

func TestGroupDescribe(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("", words("topic create orders -p 3")...)
	s.ok("", words("topic create other -p 1")...)
	hourAgo := time.Now().Add(-time.Hour).UnixMilli()
	s.ok(fmt.Sprintf("%d a\n%d b\n%d c\n", hourAgo, hourAgo, time.Now().UnixMilli()), "produce", "orders", "-p", "0", "-f", `%d %v\n`)
	s.ok("", words("consume orders -g billing -n 1")...)

	g := describeGroup(s, "billing")
	if g.Type != "classic" || g.State != "Empty" || len(g.Members) != 0 || g.Lag != 2 || g.LagSeconds < 3600 || g.LagSeconds > 3700 {
		t.Errorf("describe: %+v", g)
	}
	p := g.Partitions[0]
	if len(g.Partitions) != 1 || p.Committed != 1 || p.Start != 0 || p.End != 3 || p.Lag != 2 || p.LagSeconds != g.LagSeconds {
		t.Errorf("describe: %+v", g.Partitions)
	}
	table := s.ok("", words("group describe billing")...)
	if want := regexp.MustCompile(`(?m)^billing: Empty, type classic, coordinator 1 \(\S+\), 0 members; 2 records behind, 1h0m\n\n` +
		`TOPIC +PARTITION +COMMITTED +START +END +LAG +BEHIND\norders +0 +1 +0 +3 +2 +1h0m\n$`); !want.MatchString(table) {
		t.Errorf("describe: %s", table)
	}
	s.ok("", words("topic trim orders -p 0 --before 2 -y")...)
	if p := describeGroup(s, "billing").Partitions[0]; p.LagSeconds != -1 || !strings.Contains(p.Note, "deleted") || p.Start != 2 {
		t.Errorf("trimmed: %+v", p)
	}
	s.ok("", words("consume orders -g billing -n 1")...)
	if g := describeGroup(s, "billing"); g.Lag != 0 || g.LagSeconds != 0 || g.Partitions[0].Lag != 0 {
		t.Errorf("level: %+v", g)
	}
	s.fails(exitFailed, "", words("group describe nope"), "error: group nope: there is no such group", "hint: quire group list")
	s.fails(exitUsage, "", words("group describe"), "needs the name of a GROUP")
}

func TestGroupDescribeMembers(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("", words("topic create orders -p 2")...)
	var members []background
	for range 3 {
		members = append(members, s.background("consume orders -g team"))
	}
	waitFor(t, "three members share two partitions", func() bool {
		r := s.run("", words("group describe team -o json")...)
		if r.code != exitDone {
			return false
		}
		g := decode[[]groupView](t, r.out)[0]
		return g.State == "Stable" && len(g.Members) == 3 && len(g.Partitions) == 2 && g.Partitions[0].Member != g.Partitions[1].Member
	})
	got := s.ok("", words("group describe team")...)
	for _, want := range []string{"type classic, assignor cooperative-sticky", "3 members", "CLIENT", "no offset committed",
		"MEMBER WITHOUT PARTITIONS", "127.0.0.1"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %s", want, got)
		}
	}
	s.fails(exitFailed, "", words("group seek team --to start -y"), "group team is Stable, with 3 active members: quire at 127.0.0.1 (quire-",
		"hint: stop them first: quire group describe team")
	s.fails(exitFailed, "", words("group delete team -y"), "with 3 active members", "hint: stop them first")
	for _, r := range members {
		if code := r.end(); code != exitInterrupted || r.errs.String() != "" {
			t.Errorf("exit %d: %s", code, r.errs.String())
		}
	}
	if g := describeGroup(s, "team"); g.State != "Empty" {
		t.Errorf("after all have left: %+v", g)
	}
}

func TestGroupsOfTheNewProtocol(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("", words("topic create orders -p 2")...)
	s.ok("a\n", words("produce orders -p 1")...)
	joinModern(t, s.addr, "modern", "orders")
	g := describeGroup(s, "modern")
	if g.Type != "consumer" || g.State != "Stable" || g.Epoch < 1 || g.AssignmentEpoch != g.Epoch || g.Assignor != "uniform" ||
		len(g.Members) != 1 || g.Members[0].Client != "modern" || g.Members[0].Partitions != 2 || len(g.Partitions) != 2 {
		t.Errorf("describe: %+v", g)
	}
	s.ok("", words("consume orders -g old -n 1")...)
	names := func(args string) []string {
		var got []string
		for _, g := range decode[[]groupSummary](t, s.ok("", words("group list -o json "+args)...)) {
			got = append(got, fmt.Sprint(g.Group, " ", g.Type, " ", g.State, " ", g.Members, " ", g.Lag))
		}
		return got
	}
	modern, old := "modern consumer Stable 1 0", "old classic Empty 0 0"
	for args, want := range map[string][]string{
		"": {modern, old}, "--type consumer": {modern}, "--type classic": {old}, "--state empty": {old},
		"--state Stable": {modern}, "--state dead": nil, "--type classic,consumer": {modern, old},
	} {
		if got := names(args); !slices.Equal(got, want) {
			t.Errorf("list %s: %q, want %q", args, got, want)
		}
	}
	if got := s.ok("", words("group list")...); !regexp.MustCompile(`(?m)^modern +consumer +consumer +Stable +1 +0$`).MatchString(got) {
		t.Errorf("list: %s", got)
	}
	s.fails(exitFailed, "", words("group seek modern --to end -y"), "group modern is Stable, with 1 active member")
	s.fails(exitFailed, "", words("group offset-delete old orders:0 -y"), "group old has no offset of orders-0")
}

func TestGroupWatch(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("a\nb\n", words("produce orders")...)
	s.ok("", words("consume orders -g billing -n 1")...)
	lines := s.background("group describe billing -w --interval 100ms")
	waitFor(t, "two lines", func() bool { return strings.Count(lines.out.String(), "\n") >= 2 })
	if code := lines.end(); code != exitInterrupted || lines.errs.String() != "" {
		t.Errorf("exit %d: %s", code, lines.errs.String())
	}
	line, _, _ := strings.Cut(lines.out.String(), "\n")
	if !regexp.MustCompile(`^\S+Z billing: Empty, .*; 1 record behind, `).MatchString(line) {
		t.Errorf("line: %s", line)
	}
	objects := s.background("group describe billing -w --interval 100ms -o jsonl")
	waitFor(t, "an object a line", func() bool { return strings.Contains(objects.out.String(), "\n") })
	objects.end()
	line, _, _ = strings.Cut(objects.out.String(), "\n")
	if g := decode[timedGroup](t, line); g.Group != "billing" || g.Lag != 1 || g.Time.IsZero() {
		t.Errorf("object: %s", line)
	}

	c, _, errs := s.cli("")
	var out lockedBuffer
	c.out, c.width = &out, 80
	ctx, interrupt := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() { code <- c.run(ctx, words("group describe billing -w")) }()
	waitFor(t, "the table", func() bool { return strings.Contains(out.String(), "COMMITTED") })
	interrupt()
	if got := <-code; got != exitInterrupted || !strings.HasPrefix(out.String(), "\x1b[H\x1b[2J") {
		t.Errorf("exit %d, %q: %s", got, out.String(), errs)
	}
	s.fails(exitUsage, "", words("group describe billing -w -o yaml"), "use -o jsonl")
	s.fails(exitUsage, "", words("group describe billing -w --interval 1ms"), "want 100ms or more")
	s.fails(exitFailed, "", words("group describe nope -w"), "there is no such group")
}

func TestCompletionKnowsGroups(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("a\n", words("produce orders")...)
	for _, g := range words("billing backup") {
		s.ok("", words("consume orders -n 1 -g "+g)...)
	}
	for args, want := range map[string]string{
		"group describe b":            "backup billing :4",
		"group delete billing b":      "backup :4",
		"group seek bi":               "billing :4",
		"group seek billing o":        "orders :4",
		"group offset-delete ba":      "backup :4",
		"consume orders --group bi":   "billing :4",
		"group seek x --to-group bac": "backup :4",
	} {
		r := s.run("", append([]string{"__complete"}, words(args)...)...)
		if got := strings.Join(words(r.out), " "); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}

// A batch that is larger than what is asked of a partition comes only where its partition is the first of a request.
func TestAgesOfManyLargeBatches(t *testing.T) {
	s := shell{t, startBroker(t)}
	s.ok("", words("topic create big -p 6")...)
	at := time.Now().Add(-time.Minute).UnixMilli()
	for p := range 6 {
		s.ok(fmt.Sprintf("%d %s\n", at, strings.Repeat("x", 400<<10)), "produce", "big", "-p", fmt.Sprint(p), "-z", "none", "-f", `%d %v\n`)
	}
	s.ok("", words("group seek g big --to start -y")...)
	s.ok("", words("group seek h big --to end -y")...)
	for _, p := range describeGroup(s, "g").Partitions {
		if p.LagSeconds < 60 || p.Note != "" {
			t.Errorf("%+v", p)
		}
	}
	if g := decode[[]groupView](t, s.ok("", words("group describe g h -o json")...)); g[0].LagSeconds < 60 || g[1].LagSeconds != 0 {
		t.Errorf("two groups: %+v", g)
	}
}

func TestBehind(t *testing.T) {
	for seconds, want := range map[float64]string{
		-1: "-", 0: "0s", 0.85: "850ms", 12.4: "12s", 185: "3m5s", 3600: "1h0m", 7384: "2h3m", 187200: "2d4h",
	} {
		if got := behind(seconds); got != want {
			t.Errorf("%v: %s, want %s", seconds, got, want)
		}
	}
}
