package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// boundKind says what a bound of a range of records refers to.
type boundKind uint8

const (
	unbounded  boundKind = iota // follow: there is no end
	atStart                     // the first record there is
	atEnd                       // after the last record there is now
	atOffset                    // n
	afterStart                  // n records after the first
	beforeEnd                   // n records before the end
	atTime                      // the first record of time n or later, in ms since the epoch
)

type bound struct {
	kind boundKind
	n    int64
}

// offsetRange is what -o of consume asks for in each partition: the records from from on, up to and without to.
type offsetRange struct{ from, to bound }

// offsetHelp is the part of consume's help that says what parseOffsets understands.
const offsetHelp = `-o says where to read, in each partition; without it, from the first record on, and then what comes:
  start, end        from the first record; only what comes from now on
  :end              from the first record up to now, then stop
  N, N:             from offset N on
  N:M               offset N up to and without M, then stop
  +N, -N            N records after the start; the last N records, then what comes
  @T, @T1:T2        from time T on; from T1 up to and without T2, then stop
A time is milliseconds since 1970, a date (UTC), RFC 3339, or a time ago such as -1h or -7d. Any start goes with any end:
-10:end is the last ten, @-1h:end the last hour. kcat's beginning, s@T and e@T are understood too.`

// parseOffsets parses the values of -o; there are several only for kcat's s@T and e@T.
func parseOffsets(specs []string, now time.Time) (offsetRange, error) {
	r := offsetRange{from: bound{kind: atStart}}
	if len(specs) == 1 && !isKcatTime(specs[0]) {
		return parseOffset(specs[0], now)
	}
	for _, spec := range specs {
		if !isKcatTime(spec) {
			return r, fmt.Errorf("%q: only s@TIME and e@TIME may be given together", spec)
		}
		t, ok := parseTime(spec[2:], now)
		if !ok {
			return r, badTime(spec[2:])
		}
		if spec[0] == 's' {
			r.from = t
		} else {
			r.to = t
		}
	}
	return r, nil
}

func isKcatTime(spec string) bool {
	return strings.HasPrefix(spec, "s@") || strings.HasPrefix(spec, "e@")
}

func parseOffset(spec string, now time.Time) (offsetRange, error) {
	parse := parsePosition
	text, isTime := strings.CutPrefix(spec, "@")
	if isTime {
		parse = func(s string) (bound, bool) { return parseTime(s, now) }
	}
	if from, ok := parse(text); ok {
		return offsetRange{from: from}, nil
	}
	// An RFC 3339 time has colons of its own: the one that parts the range is the one with a bound on both sides.
	for i := range text {
		if text[i] != ':' || len(text) == 1 {
			continue
		}
		from, okFrom := bound{kind: atStart}, i == 0
		if i > 0 {
			from, okFrom = parse(text[:i])
		}
		to, okTo := bound{}, i == len(text)-1
		if !okTo {
			to, okTo = parseStop(text[i+1:], parse)
		}
		if okFrom && okTo {
			if from.kind == to.kind && (from.kind == atOffset || from.kind == atTime) && to.n < from.n {
				return offsetRange{}, fmt.Errorf("%q ends before it starts", spec)
			}
			return offsetRange{from, to}, nil
		}
	}
	if isTime {
		return offsetRange{}, badTime(text)
	}
	return offsetRange{}, fmt.Errorf("%q is not an offset: start, end, :end, N, +N, -N, N:M, @TIME or @TIME:TIME", spec)
}

// parsePosition parses an offset on its own. The sign says what it counts from.
func parsePosition(s string) (bound, bool) {
	switch s {
	case "start", "beginning", "earliest":
		return bound{kind: atStart}, true
	case "end", "latest":
		return bound{kind: atEnd}, true
	case "":
		return bound{}, false
	}
	kind, digits := atOffset, s
	switch s[0] {
	case '+':
		kind, digits = afterStart, s[1:]
	case '-':
		kind, digits = beforeEnd, s[1:]
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	return bound{kind, int64(n)}, err == nil
}

// parseStop parses the end of a range: end, or an offset or a time as its start is.
func parseStop(s string, parse func(string) (bound, bool)) (bound, bool) {
	if s == "end" || s == "latest" {
		return bound{kind: atEnd}, true
	}
	return parse(s)
}

// parseTime parses a moment: ms since the epoch, a date, RFC 3339, or a duration before now.
func parseTime(s string, now time.Time) (bound, bool) {
	if ago, ok := strings.CutPrefix(s, "-"); ok {
		d, err := parseWait(ago)
		return bound{atTime, now.Add(-d).UnixMilli()}, err == nil && ago != ""
	}
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
		return bound{atTime, ms}, true
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return bound{atTime, t.UnixMilli()}, true
		}
	}
	return bound{}, false
}

func badTime(s string) error {
	return fmt.Errorf("%q is not a time: milliseconds, 2006-01-02, 2006-01-02T15:04:05Z or -1h", s)
}

// resolve turns a bound into an offset of a partition that holds the offsets from start up to and without end. timed is the offset
// at the bound's time.
func (b bound) resolve(start, end, timed int64) int64 {
	switch b.kind {
	case atStart:
		return start
	case atEnd:
		return end
	case afterStart:
		return start + b.n
	case beforeEnd:
		return max(start, end-b.n)
	case atTime:
		return timed
	}
	return b.n
}
