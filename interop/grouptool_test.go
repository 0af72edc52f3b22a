package interop

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestConsumerGroupsTool takes Quire and Apache Kafka through the same life of several groups, and wants kafka-consumer-groups to print the same of both.
func TestConsumerGroupsTool(t *testing.T) {
	needsJava(t)
	now := time.Now()
	var boxes []*toolbox
	for _, broker := range []string{brokerUnderTest(t, "--group-consumer-heartbeat-interval-ms", "1s"), startKafka(t).addr} {
		createTopic(t, broker, "lines", 3)
		createTopic(t, broker, "other", 1)
		produceAges(t, broker, "lines", 3, now, 5*time.Hour, 4*time.Hour, 3*time.Hour, 2*time.Hour, time.Hour)
		produceAges(t, broker, "other", 1, now, time.Hour)
		boxes = append(boxes, openTools(t, broker))
	}
	for _, s := range groupSteps(now) {
		t.Run(s.name, func(t *testing.T) {
			got, want := s.play(t, boxes[0]), s.play(t, boxes[1])
			if got != want {
				t.Errorf("%s\nQuire:\n%s\n\nKafka:\n%s", s.command, got, want)
			}
			for _, part := range s.want {
				if !strings.Contains(got, part) {
					t.Errorf("%s: %q is missing in\n%s", s.command, part, got)
				}
			}
		})
	}
}

// groupStep is commands, one a line, of which the last one's output is compared; those that do not name a class or a command of Tools are kafka-consumer-groups'.
type groupStep struct {
	name, command string
	want          []string // of the output, with single spaces
}

func (s groupStep) play(t *testing.T, b *toolbox) string {
	t.Helper()
	var said string
	for line := range strings.Lines(s.command) {
		words := strings.Fields(line)
		if strings.HasPrefix(words[0], "--") {
			words = append([]string{groupTool}, words...)
		}
		start := time.Now()
		said = b.do(t, words...)
		t.Logf("%v: %s", time.Since(start).Round(time.Millisecond), strings.TrimSpace(line))
	}
	return withoutIDs(said)
}

var (
	uuids     = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	shortIDs  = regexp.MustCompile(`(^|\s)[A-Za-z0-9_-]{22}(\s|$)`)
	addresses = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	messages  = regexp.MustCompile(`(org\.apache\.kafka\.\S+Exception): .*`)
	spaces    = regexp.MustCompile(`\s+`)
)

// withoutIDs is what a tool printed without what differs from run to run: ids, ports, brokers' words,
// the order of lines, the width of columns.
func withoutIDs(said string) string {
	var lines []string
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "\tat ") || strings.HasPrefix(line, "\t...") {
			continue // of a stack trace
		}
		line = uuids.ReplaceAllString(line, "ID")
		line = shortIDs.ReplaceAllString(line, "${1}ID$2")
		line = messages.ReplaceAllString(line, "$1")
		line = addresses.ReplaceAllString(line, "ADDRESS")
		if line = strings.TrimSpace(spaces.ReplaceAllString(line, " ")); line != "" {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func groupSteps(now time.Time) []groupStep {
	at := now.Add(-150 * time.Minute).UTC().Format("2006-01-02T15:04:05.000Z")
	empty := []groupStep{
		{"no groups", "--list", nil},
		{"describe an unknown group", "--describe --group nobody", nil},
		{"describe all of none", "--describe --all-groups", nil},
		{"delete an unknown group", "--delete --group nobody", nil},
		{"delete offsets of an unknown group", "--delete-offsets --group nobody --topic lines", nil},
		{"reset an unknown group", "--reset-offsets --group made-by-reset --topic lines --to-offset 2 --execute", []string{"made-by-reset lines 0 2"}},
		{"describe what the reset made", "--describe --group made-by-reset", []string{"made-by-reset lines 0 2 5 3"}},
		{"simple", "commit simple lines 0 3 by-hand\ncommit simple other 0 1 note\n--describe --group simple --offsets --verbose", []string{"simple lines 0"}},
	}
	return slices.Concat(empty, classicSteps(), modernSteps(), listSteps(), resetSteps(at), deleteSteps())
}

func describeSteps(group string) []groupStep {
	var steps []groupStep
	for _, what := range []string{"--offsets", "--offsets --verbose", "--members", "--members --verbose", "--state", "--state --verbose"} {
		steps = append(steps, groupStep{group + " " + what, "--describe --group " + group + " " + what, []string{group}})
	}
	return steps
}

// classicSteps leave the group classic with two static members and a dynamic one.
func classicSteps() []groupStep {
	return slices.Concat([]groupStep{
		{"classic joins", "commit classic lines 1 2 by-hand\njoin member classic classic lines\njoin static-1 classic classic lines\n" +
			"join static-2 classic classic lines\n--describe --group classic", []string{"classic lines 1 2 5 3"}},
	}, describeSteps("classic"), []groupStep{
		{"classic, reset while active", "--reset-offsets --group classic --all-topics --to-earliest --execute", []string{"Stable"}},
		{"classic, dry run while active", "--reset-offsets --group classic --topic lines --to-earliest --dry-run", nil},
		{"classic, offsets deleted while active", "--delete-offsets --group classic --topic lines", []string{"GroupSubscribedToTopicException"}},
		{"classic, other offsets deleted while active", "commit simple other 0 1 note\n--delete-offsets --group classic --topic other", nil},
		{"classic, deleted while active", "--delete --group classic", []string{"GroupNotEmptyException"}},
	})
}

// modernSteps leave the group modern with a member, and two groups without, one of which has changed its protocol twice.
func modernSteps() []groupStep {
	return slices.Concat([]groupStep{
		{"modern joins", "commit modern lines 1 2 by-hand\njoin member-2 modern consumer lines\n--describe --group modern", []string{"modern lines 1 2 5 3"}},
	}, describeSteps("modern"), []groupStep{
		{"modern, reset while active", "--reset-offsets --group modern --all-topics --to-earliest --execute", []string{"Stable"}},
		{"modern, offsets deleted while active", "--delete-offsets --group modern --topic lines", []string{"GroupSubscribedToTopicException"}},
		{"modern, deleted while active", "--delete --group modern", []string{"GroupNotEmptyException"}},
		{"left", "join member-3 left consumer lines\nleave member-3\njoin member-4 left consumer lines\nleave member-4\n--describe --group left --state", nil},
		{"left, members", "--describe --group left --members", nil},
		{"migrated", "join member-5 migrated classic lines\njoin member-6 migrated consumer lines\n--describe --group migrated --members --verbose", []string{"migrated"}},
		{"migrated, type", "--list --type consumer", []string{"migrated Consumer"}},
		{"migrated back", "leave member-6\n--list --type classic", []string{"migrated Classic"}},
		{"migrated, left", "leave member-5\n--describe --group migrated --state", []string{"Empty"}},
	})
}

func listSteps() []groupStep {
	return []groupStep{
		{"list", "--list", []string{"classic", "modern", "simple"}},
		{"list states", "--list --state", []string{"classic Stable", "modern Stable", "simple Empty"}},
		{"list one state", "--list --state Empty", []string{"simple Empty"}},
		{"list two states", "--list --state stable,empty", []string{"classic Stable"}},
		{"list types", "--list --type", []string{"classic Classic", "modern Consumer"}},
		{"list one type", "--list --type classic", []string{"classic Classic"}},
		{"list types and states", "--list --type consumer --state Stable", []string{"modern Consumer Stable"}},
		{"describe all", "--describe --all-groups", []string{"classic lines", "modern lines", "simple lines"}},
		{"describe all members", "--describe --all-groups --members", []string{"static-1"}},
		{"describe all states", "--describe --all-groups --state --verbose", []string{"range"}},
	}
}

// resetSteps close the members of classic and modern first.
func resetSteps(at string) []groupStep {
	steps := []groupStep{
		{"classic is left", "leave member\nleave static-1\nleave static-2\n--describe --group classic --state", []string{"Empty"}},
		{"modern is left", "leave member-2\n--describe --group modern --state", []string{"Empty"}},
	}
	for _, to := range []string{
		"--to-earliest", "--to-latest", "--to-offset 3", "--to-offset 99", "--shift-by -2", "--shift-by 1", "--shift-by 99", "--to-datetime " + at,
		"--by-duration PT90M", "--to-current",
	} {
		reset := "--reset-offsets --group modern --topic lines " + to
		steps = append(steps,
			groupStep{"dry run " + to, reset + " --dry-run\n--describe --group modern", []string{"modern lines"}},
			groupStep{"reset " + to, reset + " --execute", []string{"modern lines"}},
			groupStep{"after reset " + to, "--describe --group modern", []string{"modern lines"}})
	}
	return append(steps,
		groupStep{"reset partitions", "--reset-offsets --group modern --topic lines:0,2 --to-earliest --execute", []string{"modern lines 2 0"}},
		groupStep{"reset two groups", "--reset-offsets --group modern --group simple --all-topics --to-latest --execute", []string{"simple lines 0 5"}},
		groupStep{"reset to a file", "--reset-offsets --group simple --all-topics --to-latest --dry-run --export", []string{"lines,0,5"}},
		groupStep{"reset an unknown topic", "--reset-offsets --group modern --topic nowhere --to-earliest --execute", nil})
}

func deleteSteps() []groupStep {
	return []groupStep{
		{"delete offsets", "--delete-offsets --group modern --topic lines:1", []string{"lines 1 Successful"}},
		{"delete offsets twice", "--delete-offsets --group modern --topic lines:1", nil},
		{"delete offsets of an unknown topic", "--delete-offsets --group modern --topic nowhere", nil},
		{"describe after deleting", "--describe --group modern", []string{"modern lines 0"}},
		{"delete the last offsets", "--delete-offsets --group simple --topic lines --topic other", nil},
		{"delete", "--delete --group modern --group left", []string{"successful"}},
		{"delete again", "--delete --group modern --group migrated", nil},
		{"delete all", "--delete --all-groups\n--list", nil},
	}
}
