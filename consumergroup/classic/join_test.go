package classic

import (
	"testing"
)

func TestALoneConsumerGetsItsPartitionsAtOnce(t *testing.T) {
	h := newHarness(t)
	r := h.join(joining{offers: "range=a sticky=b"}).joined()
	if r.Generation != 1 || r.LeaderID != r.MemberID || *r.Protocol != "range" || *r.ProtocolType != "consumer" || len(r.Members) != 1 ||
		string(r.Members[0].ProtocolMetadata) != "a" || r.MemberID != "app-1" {
		t.Fatalf("joined: %+v", r)
	}
	a := h.sync(r.MemberID, r.MemberID+"=all")
	a.want(errNone)
	h.beat(r.MemberID).want(errNone)
	if len(h.entries) != 1 || h.entries[0].Value.Generation != 1 || string(h.entries[0].Value.Members[0].Assignment) != "all" {
		t.Fatalf("entries: %+v", h.entries)
	}
}

func TestStableGroup(t *testing.T) {
	h := newHarness(t)
	ids := h.stable(joining{}, joining{}, joining{instance: "i1"})
	t.Log(ids, h.g.Generation(), len(h.entries))
}
