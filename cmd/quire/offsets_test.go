package main

import (
	"testing"
	"time"
)

func TestParseOffsets(t *testing.T) {
	now := time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)
	ms := func(s string) int64 {
		at, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return at.UnixMilli()
	}
	start, end := bound{kind: atStart}, bound{kind: atEnd}
	at := func(n int64) bound { return bound{atOffset, n} }
	when := func(s string) bound { return bound{atTime, ms(s)} }
	follow := bound{}
	for _, tc := range []struct {
		specs    []string
		from, to bound
	}{
		{nil, start, follow},
		{[]string{"start"}, start, follow},
		{[]string{"beginning"}, start, follow},
		{[]string{"end"}, end, follow},
		{[]string{":end"}, start, end},
		{[]string{"start:end"}, start, end},
		{[]string{"42"}, at(42), follow},
		{[]string{"42:"}, at(42), follow},
		{[]string{"0:0"}, at(0), at(0)},
		{[]string{"4:8"}, at(4), at(8)},
		{[]string{":8"}, start, at(8)},
		{[]string{"4:end"}, at(4), end},
		{[]string{"+3"}, bound{afterStart, 3}, follow},
		{[]string{"-3"}, bound{beforeEnd, 3}, follow},
		{[]string{"-3:end"}, bound{beforeEnd, 3}, end},
		{[]string{"@1700000000000"}, bound{atTime, 1700000000000}, follow},
		{[]string{"@1:2"}, bound{atTime, 1}, bound{atTime, 2}},
		{[]string{"@2026-05-01"}, when("2026-05-01T00:00:00Z"), follow},
		{[]string{"@2026-05-01:2026-05-02"}, when("2026-05-01T00:00:00Z"), when("2026-05-02T00:00:00Z")},
		{[]string{"@2026-05-01T08:30:00Z"}, when("2026-05-01T08:30:00Z"), follow},
		{[]string{"@2026-05-01T08:30:00+02:00:2026-05-01T09:30:00Z"}, when("2026-05-01T06:30:00Z"), when("2026-05-01T09:30:00Z")},
		{[]string{"@2026-05-01T08:30:00Z:end"}, when("2026-05-01T08:30:00Z"), end},
		{[]string{"@-1h"}, when("2026-05-06T11:00:00Z"), follow},
		{[]string{"@-1h:-30m"}, when("2026-05-06T11:00:00Z"), when("2026-05-06T11:30:00Z")},
		{[]string{"@-1d:end"}, when("2026-05-05T12:00:00Z"), end},
		{[]string{"@:-1h"}, start, when("2026-05-06T11:00:00Z")},
		{[]string{"s@5"}, bound{atTime, 5}, follow},
		{[]string{"e@9"}, start, bound{atTime, 9}},
		{[]string{"s@5", "e@9"}, bound{atTime, 5}, bound{atTime, 9}},
		{[]string{"e@9", "s@5"}, bound{atTime, 5}, bound{atTime, 9}},
	} {
		got, err := parseOffsets(tc.specs, now)
		if err != nil || got.from != tc.from || got.to != tc.to {
			t.Errorf("%q: %+v %v, want %+v to %+v", tc.specs, got, err, tc.from, tc.to)
		}
	}
}

func TestParseOffsetsRefuses(t *testing.T) {
	for _, specs := range [][]string{
		{""}, {":"}, {"x"}, {"--3"}, {"+-3"}, {"1:2:3"}, {"1:x"}, {"@"}, {"@:"}, {"@yesterday"}, {"@-"}, {"@2026-13-01"}, {"@1:2:3"},
		{"s@x"}, {"s@"}, {"1", "2"}, {"s@1", "end"}, {"99999999999999999999"}, {"1.5"}, {"@-1x"},
	} {
		if got, err := parseOffsets(specs, time.Unix(0, 0)); err == nil {
			t.Errorf("%q: understood as %+v", specs, got)
		}
	}
}

func TestBoundResolve(t *testing.T) {
	const start, end, timed = 10, 20, 15
	for _, tc := range []struct {
		b    bound
		want int64
	}{
		{bound{kind: atStart}, 10},
		{bound{kind: atEnd}, 20},
		{bound{atOffset, 3}, 3},
		{bound{afterStart, 3}, 13},
		{bound{beforeEnd, 3}, 17},
		{bound{beforeEnd, 30}, 10},
		{bound{atTime, 99}, 15},
	} {
		if got := tc.b.resolve(start, end, timed); got != tc.want {
			t.Errorf("%+v: %d, want %d", tc.b, got, tc.want)
		}
	}
}
