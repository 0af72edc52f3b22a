package assignor

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
)

func id(n int) (id [16]byte) {
	binary.BigEndian.PutUint64(id[:], uint64(n+1)*0x9e3779b97f4a7c15) // not in the order of n
	return id
}

// randomInput is a group of up to so many members and topics, of which nobody owns anything yet. Half of the groups have one subscription
// for all.
func randomInput(r *rand.Rand, members, topics, partitions int) Input {
	in := Input{Partitions: map[[16]byte]int{}}
	var all [][16]byte
	for t := range 1 + r.IntN(topics) {
		all = append(all, id(t))
		in.Partitions[id(t)] = r.IntN(partitions + 1)
	}
	same := r.IntN(2) == 0
	for m := range 1 + r.IntN(members) {
		in.Members = append(in.Members, randomMember(r, m, all, same))
	}
	return in
}

// randomMember reads all topics, or any.
func randomMember(r *rand.Rand, n int, topics [][16]byte, all bool) Member {
	m := Member{ID: fmt.Sprintf("member-%d", n)}
	if r.IntN(3) == 0 {
		m.InstanceID = fmt.Sprintf("instance-%d", r.IntN(1000)*1000+n)
	}
	for _, t := range topics {
		if all || r.IntN(3) > 0 {
			m.Topics = append(m.Topics, t)
		}
	}
	r.Shuffle(len(m.Topics), func(i, j int) { m.Topics[i], m.Topics[j] = m.Topics[j], m.Topics[i] })
	return m
}

// after is the group with its assignment.
func after(in Input, a Assignment) Input {
	in.Members = slices.Clone(in.Members)
	for i := range in.Members {
		in.Members[i].Owned = a[in.Members[i].ID]
	}
	return in
}

// shuffled is the same group, told in another order.
func shuffled(r *rand.Rand, in Input) Input {
	in.Members = slices.Clone(in.Members)
	r.Shuffle(len(in.Members), func(i, j int) { in.Members[i], in.Members[j] = in.Members[j], in.Members[i] })
	for i := range in.Members {
		topics := slices.Clone(in.Members[i].Topics)
		slices.Reverse(topics)
		in.Members[i].Topics = topics
	}
	return in
}

// changed is the group after members left and came, changed their subscription, and topics grew, went or came.
func changed(r *rand.Rand, in Input) Input {
	partitions, topics := map[[16]byte]int{}, [][16]byte{}
	for t := range len(in.Partitions) + r.IntN(2) {
		if r.IntN(8) > 0 {
			partitions[id(t)] = in.Partitions[id(t)] + r.IntN(2)*r.IntN(4)
			topics = append(topics, id(t))
		}
	}
	same, leaves := r.IntN(2) == 0, r.IntN(4)
	var members []Member
	for i := range in.Members {
		m := in.Members[i]
		if r.IntN(4) < leaves && len(members) > 0 {
			continue
		}
		if n := randomMember(r, i, topics, same); same || r.IntN(4) == 0 {
			m.Topics = n.Topics
		}
		m.Topics = slices.DeleteFunc(slices.Clone(m.Topics), func(t [16]byte) bool { return !slices.Contains(topics, t) })
		members = append(members, m)
	}
	for range r.IntN(4) {
		members = append(members, randomMember(r, 1000+r.IntN(1e9), topics, same))
	}
	return Input{Members: members, Partitions: partitions}
}
