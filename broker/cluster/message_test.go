package cluster

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func group(n int) ID { return ID{Topic: [16]byte{1, 2, 3, byte(n >> 8), byte(n)}, Partition: int32(n)} }

func TestMessageRoundTrip(t *testing.T) {
	for _, m := range []message{
		{reports: []report{}},
		{full: true, boot: 1 << 63, seq: 7, reports: []report{
			{id: group(1), leads: true, serves: true, term: 1<<31 - 1, inSync: []int32{0, 2, 1<<31 - 1}},
			{id: group(2), leads: true, term: 3, inSync: []int32{}},
			{id: ID{Partition: -1}, fenced: "its log is damaged: segment 0, byte 17"},
			{id: group(4)},
		}},
	} {
		b := m.encode()
		got, err := decodeMessage(b)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("%+v became %+v, %v", m, got, err)
		}
		for n := range b {
			if _, err := decodeMessage(b[:n]); !errors.Is(err, errMessage) {
				t.Fatalf("cut after %d of %d bytes: %v", n, len(b), err)
			}
		}
		if _, err := decodeMessage(append(b, 0)); err == nil {
			t.Fatal("a byte too many was taken")
		}
	}
}

func TestMalformedReports(t *testing.T) {
	for name, r := range map[string]report{
		"serves without leading": {id: group(1), serves: true},
		"leads a fenced replica": {id: group(1), leads: true, term: 1, fenced: "x"},
		"epoch beyond 31 bits":   {id: group(1), leads: true, term: 1 << 31},
		"reason too long":        {id: group(1), fenced: strings.Repeat("x", maxReason+1)},
		"reason no text":         {id: group(1), fenced: "\xff"},
	} {
		if _, err := decodeMessage((&message{reports: []report{r}}).encode()); !errors.Is(err, errMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s := reason(strings.Repeat("ä", maxReason)); len(s) > maxReason || !strings.HasPrefix(s, "ää") {
		t.Errorf("reason of %d bytes", len(s))
	}
}

func TestCallsRoundTrip(t *testing.T) {
	ids := []ID{group(1), {Partition: -1}, group(300)}
	if got, err := decodeIDs(encodeIDs(ids)); err != nil || !reflect.DeepEqual(got, ids) {
		t.Fatalf("%v, %v", got, err)
	}
	orders := []order{{id: group(1), term: 1}, {id: group(2), term: 1 << 63, over: 1 << 40}}
	if got, err := decodeOrders(encodeOrders(orders)); err != nil || !reflect.DeepEqual(got, orders) {
		t.Fatalf("%v, %v", got, err)
	}
	answers := []answer{
		{id: ids[0], votes: true, state: Candidate, term: 5, lastTerm: 4, lastIndex: 1 << 40, leader: -1, promised: 1500 * time.Microsecond},
		{id: ids[1]},
		{id: ids[2], votes: true, state: Leader, term: 1, lastTerm: 1, lastIndex: 1, leader: 1<<31 - 2},
	}
	b := encodeAnswers(answers)
	got, err := decodeAnswers(b, ids)
	if err != nil || !reflect.DeepEqual(got, answers) {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := decodeAnswers(b, ids[:2]); !errors.Is(err, errMessage) {
		t.Fatalf("three answers to two questions: %v", err)
	}
	if _, err := decodeIDs(encodeIDs(make([]ID, maxAsked+1))); !errors.Is(err, errMessage) {
		t.Fatalf("too many questions: %v", err)
	}
}

// Whatever comes, decoding ends, in memory that is bounded by what came; what it takes is encoded to what it would take again.
func FuzzDecode(f *testing.F) {
	lead := report{id: group(1), leads: true, serves: true, term: 2, inSync: []int32{1}}
	f.Add((&message{full: true, boot: 1, seq: 2, reports: []report{lead}}).encode())
	f.Add(encodeIDs([]ID{group(1)}))
	f.Add(encodeOrders([]order{{id: group(1), term: 2}}))
	f.Add(encodeAnswers([]answer{{votes: true, term: 3}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := decodeMessage(b); err == nil {
			again, err := decodeMessage(m.encode())
			if err != nil || !reflect.DeepEqual(m, again) {
				t.Fatalf("%+v became %+v, %v", m, again, err)
			}
		}
		if ids, err := decodeIDs(b); err == nil {
			if again, err := decodeIDs(encodeIDs(ids)); err != nil || !reflect.DeepEqual(ids, again) {
				t.Fatalf("%+v became %+v, %v", ids, again, err)
			}
		}
		if orders, err := decodeOrders(b); err == nil {
			if again, err := decodeOrders(encodeOrders(orders)); err != nil || !reflect.DeepEqual(orders, again) {
				t.Fatalf("%+v became %+v, %v", orders, again, err)
			}
		}
		_, _ = decodeAnswers(b, make([]ID, 1))
	})
}
