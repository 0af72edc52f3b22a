package interop

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quirelog/quire/interop/members"
)

// history is what was seen of one group: what its members said, and what OffsetFetch answered. All times are of the machine's monotonic
// clock, in nanoseconds.
type history struct {
	lives    []heard
	observed []observation
	written  map[int32][]members.Record // by partition and offset
	session  time.Duration
}

// heard is what one process said.
type heard struct {
	name   string
	events []members.Event
	killed int64 // before kill -9 was sent; 0: it was not
	pauses []pause
}

// pause is a time for which the process was stopped.
type pause struct{ from, to int64 }

// observation is an answer to OffsetFetch.
type observation struct {
	sent    int64
	offsets map[int32]int64
}

// tenure is a time for which a member had a partition, as it said itself: from after it was told so, to before it gave it back.
type tenure struct {
	member    string
	partition int32
	from, to  int64
	records   []members.Record
	blind     []pause // within it, when the group may have given the partition away without the member's noticing
}

// ackedCommit is one acknowledged commit of one partition.
type ackedCommit struct {
	member      string
	partition   int32
	sent, acked int64
	next        int64
}

// check lists what is wrong with the group:
//   - every record that was written was processed;
//   - a member processes only what it owns, in the order of offsets, without a gap, and so the records of a key in order;
//   - it begins no earlier than where others' commits had been acknowledged when it was told of the partition;
//   - nobody owns a partition while another does, but for members that were stopped for about as long as the session or longer: they are
//     excused from then until they notice, or until another session's time has passed;
//   - no commit is acknowledged, of those too, that was sent while another owned the partition;
//   - no commit and no answer to OffsetFetch is older than a commit that was acknowledged before;
//   - no client had to be restarted, but after its process had been stopped.
func (h *history) check() []error {
	var faults []error
	var tenures []tenure
	var commits []ackedCommit
	for _, l := range h.lives {
		ts, cs, err := l.read(h.session)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", l.name, err))
		}
		tenures, commits = append(tenures, ts...), append(commits, cs...)
	}
	faults = append(faults, h.checkProcessed(tenures)...)
	shares := slices.Collect(maps.Values(groupBy(tenures, func(t tenure) int32 { return t.partition })))
	for _, of := range shares {
		faults = append(faults, checkAlone(of, commits)...)
	}
	faults = append(faults, h.checkCommits(tenures, commits)...)
	return faults[:min(len(faults), 20)]
}

func groupBy[K comparable, V any](vs []V, key func(V) K) map[K][]V {
	by := map[K][]V{}
	for _, v := range vs {
		by[key(v)] = append(by[key(v)], v)
	}
	return by
}

// read turns what one process said into its tenures and its commits.
func (l *heard) read(session time.Duration) ([]tenure, []ackedCommit, error) {
	open := map[int32]*tenure{}
	var ts []tenure
	var cs []ackedCommit
	end := func(p int32, at int64) {
		if t := open[p]; t != nil {
			t.to = at
			ts = append(ts, *t)
			delete(open, p)
		}
	}
	for _, e := range l.events {
		switch e.Kind {
		case members.Assigned:
			for _, p := range e.Partitions {
				if open[p] != nil {
					return nil, nil, fmt.Errorf("partition %d is assigned twice", p)
				}
				open[p] = &tenure{member: l.name, partition: p, from: e.At}
			}
		case members.Revoked, members.Lost:
			for _, p := range e.Partitions {
				end(p, e.At)
			}
		case members.Restarted, members.Leaving:
			if e.Kind == members.Restarted && !l.stopped(e.At, session) {
				return nil, nil, fmt.Errorf("at %d its client was restarted, and it had not been stopped: %s", e.At, e.Why)
			}
			for p := range maps.Clone(open) {
				end(p, e.At)
			}
		case members.Records:
			for _, r := range e.Records {
				t := open[int32(r[0])]
				if t == nil {
					return nil, nil, fmt.Errorf("partition %d, offset %d: processed without owning it", r[0], r[1])
				}
				t.records = append(t.records, r)
			}
		case members.Committed:
			for _, o := range e.Offsets {
				cs = append(cs, ackedCommit{l.name, int32(o[0]), e.Sent, e.At, o[1]})
			}
		}
	}
	last := int64(math.MaxInt64)
	if l.killed != 0 {
		last = l.killed
	}
	for p := range maps.Clone(open) {
		end(p, last)
	}
	for i := range ts {
		ts[i].blind = l.blind(&ts[i], session)
		ts[i].to = min(ts[i].to, last)
	}
	return ts, cs, nil
}

// blind are the times within t for which the member is excused. It sends heartbeats every sixth of a session, so a pause of two thirds
// of one may be seen as a session's.
func (l *heard) blind(t *tenure, session time.Duration) []pause {
	var times []pause
	for _, p := range l.pauses {
		if p.to-p.from > session.Nanoseconds()*2/3 && p.from < t.to && t.from < p.to+session.Nanoseconds() {
			times = append(times, pause{p.from, p.to + session.Nanoseconds()})
		}
	}
	return times
}

// stopped says whether the process was stopped within the session before at.
func (l *heard) stopped(at int64, session time.Duration) bool {
	return slices.ContainsFunc(l.pauses, func(p pause) bool { return p.from < at && at < p.to+session.Nanoseconds() })
}

// sure are the times for which t was the partition's only tenure.
func (t *tenure) sure() []pause {
	from := t.from
	var times []pause
	for _, b := range t.blind {
		if b.from > from {
			times = append(times, pause{from, b.from})
		}
		from = max(from, b.to)
	}
	if from < t.to {
		times = append(times, pause{from, t.to})
	}
	return times
}

// checkProcessed wants every record in somebody's hands, and each tenure's in order, with what was written in them.
func (h *history) checkProcessed(tenures []tenure) []error {
	var faults []error
	seen := map[int32][]bool{}
	for p, rs := range h.written {
		seen[p] = make([]bool, len(rs))
	}
	for _, t := range tenures {
		numbers := map[int64]int64{}
		for i, r := range t.records {
			p, offset, key, number := t.partition, r[1], r[2], r[3]
			switch {
			case offset >= int64(len(seen[p])) || h.written[p][offset] != r:
				return append(faults, fmt.Errorf("%s: partition %d, offset %d holds what was not written there: %v", t.member, p, offset, r))
			case i > 0 && offset != t.records[i-1][1]+1:
				faults = append(faults, fmt.Errorf("%s: partition %d: offset %d follows %d", t.member, p, offset, t.records[i-1][1]))
			}
			if last, ok := numbers[key]; ok && number <= last {
				faults = append(faults, fmt.Errorf("%s: key %d: number %d after %d", t.member, key, number, last))
			}
			numbers[key], seen[p][offset] = number, true
		}
	}
	for p, s := range seen {
		if i := slices.Index(s, false); i >= 0 {
			faults = append(faults, fmt.Errorf("partition %d, offset %d was never processed", p, i))
		}
	}
	return faults
}

// checkAlone wants one owner at a time of the partition that all these tenures are of, and commits of owners only.
func checkAlone(of []tenure, commits []ackedCommit) []error {
	type owned struct {
		pause
		member string
	}
	var all []owned
	for _, t := range of {
		for _, s := range t.sure() {
			all = append(all, owned{s, t.member})
		}
	}
	slices.SortFunc(all, func(a, b owned) int { return cmp.Compare(a.from, b.from) })
	var faults []error
	for i := range all[:max(0, len(all)-1)] {
		a, b := all[i], all[i+1]
		if a.member != b.member && b.from < a.to {
			faults = append(faults, fmt.Errorf("partition %d: %s took it at %d while %s owned it from %d to %d", of[0].partition, b.member, b.from,
				a.member, a.from, a.to))
		}
	}
	for _, c := range commits {
		if c.partition != of[0].partition {
			continue
		}
		for _, o := range all {
			if o.member != c.member && o.from < c.sent && c.sent < o.to {
				faults = append(faults, fmt.Errorf("partition %d: %s committed %d at %d while %s owned it from %d to %d", c.partition, c.member, c.next,
					c.sent, o.member, o.from, o.to))
			}
		}
	}
	return faults
}

// checkCommits wants nothing older than what had been acknowledged before it was asked for: further commits, what OffsetFetch answers, and
// where owners begin.
func (h *history) checkCommits(tenures []tenure, commits []ackedCommit) []error {
	type look struct {
		at, next int64
		what     string
	}
	looks := map[int32][]look{}
	for _, c := range commits {
		looks[c.partition] = append(looks[c.partition], look{c.sent, c.next, c.member + " commits"})
	}
	for _, o := range h.observed {
		for p, next := range o.offsets {
			looks[p] = append(looks[p], look{o.sent, next, "OffsetFetch answers"})
		}
	}
	for _, t := range tenures {
		if len(t.records) > 0 && !slices.ContainsFunc(t.blind, func(b pause) bool { return b.from < t.from && t.from < b.to }) {
			looks[t.partition] = append(looks[t.partition], look{t.from, t.records[0][1], t.member + " begins at"})
		}
	}
	var faults []error
	for p, cs := range groupBy(commits, func(c ackedCommit) int32 { return c.partition }) {
		slices.SortFunc(cs, func(a, b ackedCommit) int { return cmp.Compare(a.acked, b.acked) })
		ls := looks[p]
		slices.SortFunc(ls, func(a, b look) int { return cmp.Compare(a.at, b.at) })
		i, newest := 0, ackedCommit{next: -1}
		for _, l := range ls {
			for ; i < len(cs) && cs[i].acked < l.at; i++ {
				if cs[i].next > newest.next {
					newest = cs[i]
				}
			}
			if l.next < newest.next {
				faults = append(faults, fmt.Errorf("partition %d: at %d %s %d, behind %d that %s had acknowledged at %d", p, l.at, l.what, l.next,
					newest.next, newest.member, newest.acked))
			}
		}
	}
	return faults
}

// TestHistory has the checker find what it is to find.
func TestHistory(t *testing.T) {
	const ms = int64(time.Millisecond)
	assigned := func(at int64) members.Event {
		return members.Event{Kind: members.Assigned, At: at * ms, Partitions: []int32{0}}
	}
	revoked := func(at int64) members.Event {
		return members.Event{Kind: members.Revoked, At: at * ms, Partitions: []int32{0}}
	}
	records := func(at int64, offsets ...int64) members.Event {
		e := members.Event{Kind: members.Records, At: at * ms}
		for _, o := range offsets {
			e.Records = append(e.Records, members.Record{0, o, 7, o})
		}
		return e
	}
	committed := func(sent, at, next int64) members.Event {
		return members.Event{Kind: members.Committed, Sent: sent * ms, At: at * ms, Offsets: [][2]int64{{0, next}}}
	}
	one := []members.Event{assigned(1), records(2, 0, 1), committed(3, 4, 2), records(5, 2), revoked(10)}
	two := []members.Event{assigned(11), records(12, 2, 3), committed(13, 14, 4)}
	again := append(one[:4:4], members.Event{Kind: members.Restarted, At: 8 * ms})
	long := []pause{{6 * ms, 9 * ms}}
	for _, tt := range []struct {
		name     string
		lives    []heard
		observed []observation
		fault    string // part of the first; "": there is none
	}{
		{"a hand-over that repeats what was not committed", []heard{{name: "a", events: one}, {name: "b", events: two}}, nil, ""},
		{"two owners", []heard{{name: "a", events: one}, {name: "b", events: append([]members.Event{assigned(9)}, two[1:]...)}}, nil, "while a owned it"},
		{"two owners, the first of them stopped", []heard{{name: "a", events: one, pauses: long},
			{name: "b", events: append([]members.Event{assigned(9)}, two[1:]...)}}, nil, ""},
		{"a stopped one commits", []heard{{name: "a", events: append(one[:4:4], committed(13, 16, 4), revoked(17)), pauses: []pause{{6 * ms, 14 * ms}}},
			{name: "b", events: two}}, nil, "a committed 4"},
		{"killed before", []heard{{name: "a", events: one[:4], killed: 8 * ms}, {name: "b", events: two}}, nil, ""},
		{"a record nobody processed", []heard{{name: "a", events: one}}, nil, "offset 3 was never processed"},
		{"a gap", []heard{{name: "a", events: append(one[:3:3], records(6, 3), revoked(10))}, {name: "b", events: two}}, nil, "offset 3 follows 1"},
		{"another record", []heard{{name: "a", events: append(one[:4:4], records(6, 4))}}, nil, "what was not written"},
		{"a beginning behind a commit", []heard{{name: "a", events: one}, {name: "b", events: []members.Event{assigned(11), records(12, 1, 2, 3)}}}, nil,
			"b begins at 1, behind 2"},
		{"a commit behind a commit", []heard{{name: "a", events: one}, {name: "b", events: append(two[:2:2], committed(13, 14, 1))}}, nil,
			"b commits 1, behind 2"},
		{"an answer behind a commit", []heard{{name: "a", events: one}, {name: "b", events: two}},
			[]observation{{15 * ms, map[int32]int64{0: 3}}, {3 * ms, map[int32]int64{0: -1}}}, "OffsetFetch answers 3, behind 4"},
		{"processed by no owner", []heard{{name: "a", events: one}, {name: "b", events: append(two[:3:3], revoked(15), records(16, 3))}}, nil,
			"without owning it"},
		{"restarted", []heard{{name: "a", events: append(again[:5:5], two...), pauses: []pause{{5 * ms, 6 * ms}}}}, nil, ""},
		{"restarted, and never stopped", []heard{{name: "a", events: again}}, nil, "had not been stopped"},
		{"assigned twice", []heard{{name: "a", events: append([]members.Event{assigned(1)}, one...)}}, nil, "assigned twice"},
	} {
		h := history{lives: tt.lives, observed: tt.observed, session: 3 * time.Millisecond}
		h.written = map[int32][]members.Record{0: {{0, 0, 7, 0}, {0, 1, 7, 1}, {0, 2, 7, 2}, {0, 3, 7, 3}}}
		got := h.check()
		if tt.fault == "" && len(got) > 0 || tt.fault != "" && (len(got) == 0 || !strings.Contains(got[0].Error(), tt.fault)) {
			t.Errorf("%s: %v, want %q", tt.name, got, tt.fault)
		}
	}
}
