package interop

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/quirelog/quire/interop/members"
)

// settle fills every seat, ends the load, and waits until every group is stable, its partitions shared out completely, and everything
// committed; and sees that nothing moves for the next seconds.
func (s *stage) settle() {
	s.t.Helper()
	s.fill()
	s.until(90*time.Second, s.unstable)
	s.loaded()
	s.loading.Wait()
	s.until(time.Minute, s.uncommitted)
	before := s.changes()
	s.pass(5 * time.Second)
	if now := s.changes(); now != before {
		s.t.Fatalf("%d assignments and revocations in groups that were stable", now-before)
	}
}

// fill has every seat taken by a process that runs.
func (s *stage) fill() {
	s.t.Helper()
	for _, g := range s.groups {
		for _, at := range g.seats {
			if l := at.now(); l != nil && !at.resumeAt.IsZero() {
				l.resume()
				at.resumeAt = time.Time{}
			}
			if l := at.now(); l != nil && (l.toldToLeave || l.killed != 0) {
				<-l.ended
			}
			if at.now() == nil {
				at.sit(s.t)
			}
		}
	}
}

// unstable names a group that is not stable yet.
func (s *stage) unstable() string {
	for _, g := range s.groups {
		if missing := s.unstableGroup(g); missing != "" {
			return g.name + ": " + missing
		}
	}
	return ""
}

func (s *stage) unstableGroup(g *group) string {
	state, count, err := s.describe(g)
	if err != nil {
		return err.Error()
	}
	if state != "Stable" || count != len(g.seats) {
		return fmt.Sprintf("%s with %d members of %d, %s", state, count, len(g.seats), shares(g))
	}
	var all []int32
	for _, at := range g.seats {
		l := at.now()
		if l == nil {
			return at.name + " is not there"
		}
		owned, _ := l.owns()
		all = append(all, owned...)
	}
	slices.Sort(all)
	if n := len(slices.Compact(slices.Clone(all))); n != groupPartitions || len(all) != n {
		return fmt.Sprintf("%d partitions are owned, %d different ones", len(all), n)
	}
	return ""
}

// shares says how many partitions each member of g owns.
func shares(g *group) string {
	var texts []string
	for _, at := range g.seats {
		if l := at.now(); l != nil {
			owned, _ := l.owns()
			texts = append(texts, fmt.Sprintf("%s owns %d", l.name, len(owned)))
		}
	}
	return strings.Join(texts, ", ")
}

func (s *stage) describe(g *group) (state string, count int, err error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	if g.assignor == "consumer" {
		got, err := s.admin.DescribeConsumerGroups(ctx, g.name)
		if err == nil {
			err = got[g.name].Err
		}
		return got[g.name].State, len(got[g.name].Members), err
	}
	got, err := s.admin.DescribeGroups(ctx, g.name)
	if err == nil {
		err = got[g.name].Err
	}
	return got[g.name].State, len(got[g.name].Members), err
}

// uncommitted names a group that has not committed everything yet.
func (s *stage) uncommitted() string {
	for _, g := range s.groups {
		o, err := s.committed(s.t.Context(), g)
		if err != nil {
			return err.Error()
		}
		for p, rs := range s.written {
			if o.offsets[p] != int64(len(rs)) {
				return fmt.Sprintf("%s: partition %d is committed to %d of %d", g.name, p, o.offsets[p], len(rs))
			}
		}
	}
	return ""
}

func (s *stage) changes() int {
	n := 0
	for _, g := range s.groups {
		for _, at := range g.seats {
			if l := at.now(); l != nil {
				_, c := l.owns()
				n += c
			}
		}
	}
	return n
}

// finish ends all members and holds every group's history against what is promised.
func (s *stage) finish() {
	s.t.Helper()
	for _, g := range s.groups {
		for _, at := range g.seats {
			at.now().leave()
		}
	}
	s.until(30*time.Second, func() string {
		for _, g := range s.groups {
			for _, at := range g.seats {
				if at.now() != nil {
					return at.name + " does not end"
				}
			}
		}
		return ""
	})
	s.stop()
	s.working.Wait()
	for _, g := range s.groups {
		s.judge(g)
	}
}

// judge holds one group's history against what is promised.
func (s *stage) judge(g *group) {
	s.t.Helper()
	h := history{observed: g.observed, written: s.written, session: groupSession}
	changes, commits, refusals := 0, 0, map[string]int{}
	for _, at := range g.seats {
		for _, l := range at.lives {
			h.lives = append(h.lives, l.heard)
			changes, commits = changes+l.changes, commits+l.commits
			for why, n := range l.refusals {
				refusals[at.program.name+": "+why] += n
			}
		}
	}
	s.t.Logf("%s (%s): %d seats, %d processes, %d assignments and revocations, %d commits, refused: %v, %d answers of OffsetFetch", g.name,
		g.assignor, len(g.seats), len(h.lives), changes, commits, refusals, len(g.observed))
	for _, err := range h.check() {
		s.t.Errorf("%s: %v", g.name, err)
	}
}

// keep shows where everybody stood when the test failed, and writes down what they had said; go test -artifacts keeps it.
func (s *stage) keep() {
	if !s.t.Failed() {
		return
	}
	for _, g := range s.groups {
		s.t.Logf("%s as the broker has it:\n%s", g.name, s.portrait(g))
		var lives []heard
		for _, at := range g.seats {
			if l := at.now(); l != nil {
				s.t.Log(l.portrait())
			}
			for _, l := range at.lives {
				_ = l.cmd.Process.Kill()
				<-l.ended
				lives = append(lives, l.heard)
				s.artifact(strings.ReplaceAll(l.name, "/", "-")+".log", l.errs.bytes())
			}
		}
		s.artifact(g.name, []byte(strings.Join(course(lives), "\n")))
	}
	s.artifact("broker.log", s.server.out.bytes())
}

func (s *stage) artifact(name string, content []byte) {
	if err := os.WriteFile(filepath.Join(s.t.ArtifactDir(), name), content, 0o600); err != nil {
		s.t.Error(err)
	}
}

// portrait is a group's state and members, as it is described by either protocol.
func (s *stage) portrait(g *group) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // the test's own has ended
	defer cancel()
	var text strings.Builder
	if g.assignor == "consumer" {
		got, err := s.admin.DescribeConsumerGroups(ctx, g.name)
		of := got[g.name]
		fmt.Fprintf(&text, "%s, epoch %d, assignment of %d (%v, %v)\n", of.State, of.Epoch, of.AssignmentEpoch, err, of.Err)
		for _, m := range of.Members {
			fmt.Fprintf(&text, "  %s %s: epoch %d, has %v, is to have %v\n", m.MemberID, m.ClientID, m.MemberEpoch, m.Assignment, m.TargetAssignment)
		}
		return text.String()
	}
	got, err := s.admin.DescribeGroups(ctx, g.name)
	of := got[g.name]
	fmt.Fprintf(&text, "%s, protocol %q (%v, %v)\n", of.State, of.Protocol, err, of.Err)
	for _, m := range of.Members {
		assigned, _ := m.Assigned.AsConsumer()
		fmt.Fprintf(&text, "  %s: has %v\n", m.MemberID, assigned)
	}
	return text.String()
}

// portrait is what the process said last, and the last of its client's log.
func (l *life) portrait() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := map[string]members.Event{}
	for _, e := range l.events {
		last[e.Kind] = e
	}
	var texts []string
	for kind, e := range last {
		texts = append(texts, fmt.Sprintf("%s %v ago %v%s", kind, time.Duration(members.Now()-e.At).Round(time.Millisecond), e.Partitions, e.Why))
	}
	slices.Sort(texts)
	return fmt.Sprintf("%s: %s\n%s", l.name, strings.Join(texts, "; "), tail(l.errs.bytes()))
}

// course is what a group's members said and what was done to them, in order.
func course(lives []heard) []string {
	type line struct {
		at   int64
		text string
	}
	var lines []line
	for _, l := range lives {
		for _, e := range l.events {
			lines = append(lines, line{e.At, fmt.Sprintf("%d %s %s %v%v%v %s", e.At, l.name, e.Kind, e.Partitions, e.Records, e.Offsets, e.Why)})
		}
		for _, p := range l.pauses {
			lines = append(lines, line{p.from, fmt.Sprintf("%d %s stopped", p.from, l.name)}, line{p.to, fmt.Sprintf("%d %s resumed", p.to, l.name)})
		}
		if l.killed != 0 {
			lines = append(lines, line{l.killed, fmt.Sprintf("%d %s killed", l.killed, l.name)})
		}
	}
	slices.SortFunc(lines, func(a, b line) int { return cmp.Compare(a.at, b.at) })
	var texts []string
	for _, l := range lines {
		texts = append(texts, l.text)
	}
	return texts
}
