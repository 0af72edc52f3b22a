package cluster

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// unled counts the groups that nobody serves who is up and has a lease.
func (s *sim) unled() (n int) {
	for id := range s.brokers[0].groups {
		led := false
		for _, b := range s.brokers {
			g := b.groups[id]
			led = led || b.up && !b.paused && g.serves && g.lease()
		}
		if !led {
			n++
		}
	}
	return n
}

// settle runs until every group is led, and returns how long that took.
func (s *sim) settle(t *testing.T, most time.Duration, after string) time.Duration {
	t.Helper()
	begun := s.now
	for s.unled() > 0 {
		s.run(simStep)
		if s.fault != "" {
			t.Fatalf("after %s: %s", after, s.fault)
		}
		if s.now-begun > most {
			s.dump(t)
			t.Fatalf("at %v, %v after %s: %d groups have no leader", s.now, most, after, s.unled())
		}
	}
	return s.now - begun
}

func (s *sim) dump(t *testing.T) {
	for _, b := range s.brokers {
		for id, g := range b.groups {
			v := g.view()
			t.Logf("%s group %d up %v paused %v: %+v led %v", b.id, id.Partition, b.up, b.paused, v, v.led())
			if c := b.core.vacant[id]; c != nil {
				t.Logf("  vacant since %v, phase %d until %v, calls %d, the last of %s",
					c.since.Sub(simEpoch), c.phase, c.at.Sub(simEpoch), c.calls, c.target)
				for v, a := range c.asked {
					t.Logf("    %s: %+v", v, a)
				}
			}
		}
	}
}

func seeds(t *testing.T, usual int) []uint64 {
	first := uint64(1)
	if s := os.Getenv("QUIRE_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return []uint64{n}
	}
	if s := os.Getenv("QUIRE_SCHEDULES"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		usual, first = n, uint64(time.Now().UnixNano())
	}
	all := make([]uint64, usual)
	for i := range all {
		all[i] = first + uint64(i)
	}
	return all
}

// A broker is killed, stopped or cut off: its groups are led again soon, by no more elections than groups; and nobody is disturbed later.
func TestOneFault(t *testing.T) {
	for _, seed := range seeds(t, 6) {
		s := newSim(seed, 3+2*int(seed%2), 8)
		start := s.settle(t, 2*time.Second, "creation")
		s.run(2 * time.Second)
		elected := s.elected
		victim := s.brokers[s.rng.IntN(len(s.brokers))]
		kind := [...]string{"kill", "stop", "cut"}[s.rng.IntN(3)]
		switch kind {
		case "kill":
			victim.stop()
		case "stop":
			victim.paused = true
		case "cut":
			for _, b := range s.brokers {
				s.cut[[2]int{b.n, victim.n}], s.cut[[2]int{victim.n, b.n}] = true, true
			}
			s.run(700 * time.Millisecond) // its lease ends
		}
		took := s.settle(t, 2*time.Second, kind)
		orders := s.elected - elected
		t.Logf("seed %d: created in %v, %s of %s: led after %v, %d elections", seed, start, kind, victim.id, took, orders)
		if orders > len(victim.groups) {
			t.Errorf("seed %d: %d elections for %d groups", seed, orders, len(victim.groups))
		}
		elected = s.elected
		s.run(20 * time.Second)
		s.settle(t, 0, "quiet")
		if s.elected != elected {
			t.Errorf("seed %d: %d elections that nobody needed", seed, s.elected-elected)
		}
	}
}

// Whatever befalls the brokers, no two of them ever have a lease of one group, and when it ends every group is led soon.
func TestRandomSchedules(t *testing.T) {
	for _, seed := range seeds(t, 10) {
		s := newSim(seed, 3+2*int(seed%2), 4)
		for range 25 {
			s.befall()
			s.run(time.Duration(s.rng.Int64N(int64(3 * time.Second))))
		}
		s.heal()
		if s.fault == "" {
			took := s.settle(t, 8*time.Second, "all was mended, seed "+strconv.FormatUint(seed, 10))
			t.Logf("seed %d: led %v after all was mended, %d elections", seed, took, s.elected)
			s.run(10 * time.Second) // what is left over may still change leaders
			elected := s.elected
			s.run(20 * time.Second)
			if s.elected != elected {
				t.Errorf("seed %d: %d elections long after all was mended", seed, s.elected-elected)
			}
		}
		if s.fault != "" {
			t.Fatalf("seed %d (QUIRE_SEED): %s", seed, s.fault)
		}
	}
}

// befall does something to the cluster.
func (s *sim) befall() {
	b := s.brokers[s.rng.IntN(len(s.brokers))]
	o := s.brokers[s.rng.IntN(len(s.brokers))]
	switch s.rng.IntN(8) {
	case 0:
		if b.up {
			b.stop()
		} else {
			b.start()
		}
	case 1:
		b.paused = b.up && !b.paused
		if b.up && !b.paused {
			b.resume()
		}
	case 2:
		s.cut[[2]int{b.n, o.n}] = !s.cut[[2]int{b.n, o.n}]
	case 3:
		for _, o := range s.brokers {
			s.cut[[2]int{b.n, o.n}], s.cut[[2]int{o.n, b.n}] = true, true
		}
	case 4:
		clear(s.cut)
	case 5:
		s.lost = s.rng.IntN(30)
	case 6:
		s.slow = time.Duration(1+s.rng.IntN(400)) * time.Millisecond
	case 7:
		for _, g := range b.order { // a store fails, say
			if b.up && !b.paused && g.state == Leader {
				g.become(Follower, g.term, -1)
				break
			}
		}
	}
}

func (s *sim) heal() {
	clear(s.cut)
	s.lost, s.slow = 0, 3*time.Millisecond
	for _, b := range s.brokers {
		if !b.up {
			b.start()
		} else if b.paused {
			b.resume()
		}
	}
}
