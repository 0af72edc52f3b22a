package consumer

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"time"

	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Limits of a regular expression, since it is run over the names of all topics; both are far beyond what anybody writes by hand. RE2's syntax and its
// linear time are Kafka's as well.
const (
	maxRegexBytes = 4096
	maxRegexSteps = 10000 // instructions of the compiled program
)

// refreshInterval is the least time between two resolutions of a group's regular expressions because topics have changed (Kafka's).
const refreshInterval = 10 * time.Second

// checkRegex says whether a regular expression can be used.
func checkRegex(x string) error {
	if len(x) > maxRegexBytes {
		return fmt.Errorf("regular expression of %d bytes, at most %d: %w", len(x), maxRegexBytes, kerr.InvalidRegularExpression)
	}
	parsed, err := syntax.Parse(x, syntax.Perl)
	if err != nil {
		return fmt.Errorf("regular expression %q: %v: %w", x, err, kerr.InvalidRegularExpression)
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return fmt.Errorf("regular expression %q: %v: %w", x, err, kerr.InvalidRegularExpression)
	}
	if len(prog.Inst) > maxRegexSteps {
		return fmt.Errorf("regular expression of %d steps, at most %d: %w", len(prog.Inst), maxRegexSteps, kerr.InvalidRegularExpression)
	}
	return nil
}

// forgetRegex drops what a regular expression resolves to when nobody subscribes to it any more.
func (g *Group) forgetRegex(s *step.Step, x string) {
	if x != "" && g.patterns[x] == 0 {
		g.write(s, &journal.Regex{Group: g.id, Expression: x})
	}
}

// resolve finds the topics of regular expressions that have not been resolved yet, and of all when topics have changed, though that at most every
// refreshInterval. It says whether the group's topics became others.
func (g *Group) resolve(s *step.Step, t Topics) (changed bool) {
	if len(g.patterns) == 0 {
		return false
	}
	stale := !g.lastMatch.is(t) && (g.matchedAt.IsZero() || s.Now.Sub(g.matchedAt) >= refreshInterval)
	if !stale && len(g.patterns) == len(g.resolved) {
		return false
	}
	for _, x := range sortedKeys(g.patterns) {
		old, known := g.resolved[x]
		if known && !stale {
			continue
		}
		topics := match(x, t)
		if known && slices.Equal(old, topics) {
			continue
		}
		changed = changed || len(topics) > 0 || len(old) > 0
		g.write(s, &journal.Regex{Group: g.id, Expression: x, Value: &journal.RegexValue{
			Topics: topics, Version: int64(t.Version()), Timestamp: s.Now.UnixMilli(),
		}})
	}
	if stale {
		g.lastMatch, g.matchedAt = see(t), s.Now
	}
	return changed
}

// internal are the brokers' own topics, each a group that reads which would feed on its own commits.
var internal = []string{"__consumer_offsets", "__transaction_state", "__share_group_state"}

// match lists the topics whose whole name a regular expression matches, sorted. Internal topics match only an expression that says "__": Kafka's
// coordinator gives them to ".*" as well, where consumers of the classic protocol leave them out. An expression that cannot be compiled (an older
// limit let it pass) matches nothing.
func match(x string, t Topics) []string {
	re, err := regexp.Compile(`\A(?:` + x + `)\z`)
	if err != nil {
		return nil
	}
	var topics []string
	named := strings.Contains(x, "__")
	for topic := range t.All() {
		if re.MatchString(topic.Name) && (named || !slices.Contains(internal, topic.Name)) {
			topics = append(topics, topic.Name)
		}
	}
	slices.Sort(topics)
	return topics
}
