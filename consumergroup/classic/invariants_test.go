package classic

import "testing"

// check looks at everything that always holds of a group between two steps.
func check(t testing.TB, g *Group) {
	t.Helper()
	joining, unsynced, bytes, offered := 0, 0, 0, map[string]int{}
	for i, m := range g.members {
		if m.place != i || g.byID[m.ID] != m {
			t.Fatalf("member %q is not where it should be", m.ID)
		}
		if m.InstanceID != nil && g.static[*m.InstanceID] != m {
			t.Fatalf("instance %q is held by another than %q", *m.InstanceID, m.ID)
		}
		if m.session.place == 0 || m.session.id != m.ID || m.session.due.After(m.session.ends) {
			t.Fatalf("the session of %q: %+v", m.ID, m.session)
		}
		if _, both := g.pending[m.ID]; both {
			t.Fatalf("%q is a member, and yet to be one", m.ID)
		}
		if m.join != nil && g.state != preparing || m.sync != nil && g.state != completing {
			t.Fatalf("%q waits in %s (join %v, sync %v)", m.ID, g.State(), m.join != nil, m.sync != nil)
		}
		if m.join != nil {
			joining++
		}
		if m.unsynced {
			unsynced++
		}
		for _, p := range m.Protocols {
			offered[p.Name]++
		}
		bytes += m.size()
	}
	if joining != g.joining || unsynced != g.unsynced || bytes != g.bytes || len(offered) != len(g.offered) {
		t.Fatalf("counted %d joining, %d unsynced, %d bytes; it says %d, %d, %d", joining, unsynced, bytes, g.joining, g.unsynced, g.bytes)
	}
	for name, n := range offered {
		if g.offered[name] != n {
			t.Fatalf("%d offer %q, it says %d", n, name, g.offered[name])
		}
	}
	checkSizes(t, g)
	checkState(t, g)
}

func checkSizes(t testing.TB, g *Group) {
	t.Helper()
	static, given := 0, 0
	for _, m := range g.members {
		given += len(m.Assignment)
		if m.InstanceID != nil {
			static++
		}
	}
	if given != g.given {
		t.Fatalf("assignments of %d bytes, it says %d", given, g.given)
	}
	if len(g.byID) != len(g.members) || len(g.static) != static || len(g.sessions) != len(g.members)+len(g.pending) {
		t.Fatalf("%d members: %d by id, %d of %d static, %d sessions with %d pending", len(g.members), len(g.byID), len(g.static), static,
			len(g.sessions), len(g.pending))
	}
	for i, s := range g.sessions {
		if s.place != i+1 {
			t.Fatalf("timer %d says that it is at %d", i+1, s.place)
		}
	}
}

func checkState(t testing.TB, g *Group) {
	t.Helper()
	n := len(g.members)
	switch {
	case (g.leader == nil) != (n == 0), n > 0 && g.byID[g.leader.ID] != g.leader:
		t.Fatalf("leader %v of %d members", g.leader, n)
	case g.state == empty && n > 0, g.state != empty && g.state != preparing && n == 0:
		t.Fatalf("%s with %d members", g.State(), n)
	case n > 0 && g.offered[g.selectProtocol()] != n:
		t.Fatalf("no protocol that all %d offer: %v", n, g.offered)
	case (g.state == completing || g.state == stable) && g.offered[g.protocol] != n:
		t.Fatalf("protocol %q is not offered by all %d: %v", g.protocol, n, g.offered)
	case g.state == preparing && g.due.IsZero():
		t.Fatal("a rebalance without an end")
	case g.state == empty && !g.due.IsZero(), (g.state == completing || g.state == stable) && g.unsynced > 0 == g.due.IsZero():
		t.Fatalf("%s with %d to sync, due %v", g.State(), g.unsynced, g.due)
	case g.state == preparing && !g.initial.active && g.allJoined():
		t.Fatal("all have joined, and it waits")
	}
}
