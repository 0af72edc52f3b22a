package assignor

import "slices"

// search is a breadth-first search over members: from one that owns a partition to whoever else may read it.
type search struct {
	*group
	parent []int32 // of members that were reached: who reached them; nobody for those that the search began at
	// What was reached, and stays so where nothing could be improved: what can be reached from there is level with it.
	reached, entered, joined []bool  // members, topics and classes
	queue, entries, joins    []int32 // those of this search, in order
	best                     int32   // the member with the smallest count in queue, the first one
	excess                   []int32 // scratch, by topic; zero between two moves
}

// balance moves partitions from the members that own most to those that own least, directly or over others, until that improves nothing.
// Each round takes the largest count among members not yet settled, and either lowers it at one of them, or settles them together with all
// that they reach: nothing leads out of that set, and nobody outside gains by a way into it.
func (g *group) balance() {
	s := &search{group: g, parent: make([]int32, len(g.members)), reached: make([]bool, len(g.members)),
		joined: make([]bool, len(g.classes)), entered: make([]bool, len(g.topics)), excess: make([]int32, len(g.topics))}
	settled := make([]bool, len(g.members))
	for {
		most, fewest := s.extremes(settled)
		if most-fewest < 2 {
			return
		}
		to := s.reach(settled, most, fewest)
		if most-g.owned[to].n < 2 {
			for _, m := range s.queue {
				settled[m] = true
			}
			continue
		}
		s.forget()
		for from := s.parent[to]; from != nobody; to, from = from, s.parent[from] {
			s.move(from, to)
		}
	}
}

// extremes is the largest and the smallest count of members that are not settled; equal when there is none.
func (s *search) extremes(settled []bool) (most, fewest int) {
	first := true
	for m := range s.owned {
		n := s.owned[m].n
		switch {
		case settled[m]:
		case first:
			most, fewest, first = n, n, false
		default:
			most, fewest = max(most, n), min(fewest, n)
		}
	}
	return most, fewest
}

// reach searches from all members with the largest count and returns the one it found with the smallest, among those the nearest. One
// with the smallest of all ends the search: there is nothing better.
func (s *search) reach(settled []bool, most, fewest int) int32 {
	s.queue, s.entries, s.joins = s.queue[:0], s.entries[:0], s.joins[:0]
	for m := range s.owned {
		if !settled[m] && s.owned[m].n == most {
			s.reached[m], s.parent[m] = true, nobody
			s.queue = append(s.queue, int32(m))
		}
	}
	s.best = s.queue[0]
	for next := 0; next < len(s.queue); next++ {
		from := s.queue[next]
		for t := range s.owned[from].topics {
			if s.enter(from, t); s.owned[s.best].n == fewest {
				return s.best
			}
		}
	}
	return s.best
}

// enter reaches the readers of a topic.
func (s *search) enter(from, t int32) {
	if s.entered[t] {
		return
	}
	s.entered[t] = true
	s.entries = append(s.entries, t)
	for _, c := range s.topics[t].classes {
		if s.joined[c] {
			continue
		}
		s.joined[c] = true
		s.joins = append(s.joins, c)
		for _, m := range s.classes[c].members {
			if s.reached[m] {
				continue
			}
			s.reached[m], s.parent[m] = true, from
			s.queue = append(s.queue, m)
			if s.owned[m].n < s.owned[s.best].n {
				s.best = m
			}
		}
	}
}

// forget undoes what the last search reached.
func (s *search) forget() {
	for _, m := range s.queue {
		s.reached[m] = false
	}
	for _, t := range s.entries {
		s.entered[t] = false
	}
	for _, c := range s.joins {
		s.joined[c] = false
	}
}

// move moves the partition between two members that it hurts least to move: one that the taker had before, else one that the giver did not
// have before, else the last one of the topic of which the giver has most more than the taker.
func (s *search) move(from, to int32) {
	giver, reads := &s.owned[from], s.classes[s.class[to]].reads
	best, had := nobody, false
	for i, p := range giver.fresh {
		if reads(p.topic) && (best == nobody || !had) {
			best, had = i, s.topics[p.topic].before[p.partition] == to
		}
	}
	giver.n--
	if best != nobody {
		p := giver.fresh[best]
		giver.fresh = slices.Delete(giver.fresh, best, best+1)
		s.give(p, to)
		return
	}
	pile := s.highest(giver, &s.owned[to], reads)
	last := len(pile.partitions) - 1
	p := place{pile.topic, pile.partitions[last]}
	pile.partitions = pile.partitions[:last]
	s.give(p, to)
}

// highest is the giver's pile that is most above the taker's, among topics that the taker reads.
func (s *search) highest(giver, taker *holding, reads func(int32) bool) *pile {
	taker.count(s.excess, -1)
	var best *pile
	var most int32
	for i := range giver.kept {
		k := &giver.kept[i]
		above := int32(len(k.partitions)) + s.excess[k.topic]
		if len(k.partitions) > 0 && (best == nil || above > most) && reads(k.topic) {
			best, most = k, above
		}
	}
	taker.count(s.excess, 1)
	return best
}

// topics goes over the topics that h has partitions of; some come several times.
func (h *holding) topics(yield func(int32) bool) {
	for _, k := range h.kept {
		if len(k.partitions) > 0 && !yield(k.topic) {
			return
		}
	}
	for _, p := range h.fresh {
		if !yield(p.topic) {
			return
		}
	}
}

// count adds sign for each partition to its topic's sum.
func (h *holding) count(sums []int32, sign int32) {
	for _, k := range h.kept {
		sums[k.topic] += sign * int32(len(k.partitions))
	}
	for _, p := range h.fresh {
		sums[p.topic] += sign
	}
}
