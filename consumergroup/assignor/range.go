package assignor

// Range gives each member a range of each topic that it is subscribed to. Topics with the same number of partitions and the same
// subscribers are co-partitioned: who has partition 3 of one has partition 3 of the others. It looks at no earlier assignment: what keeps
// partitions where they are is the members' order.
type Range struct{}

// Name implements Assignor.
func (Range) Name() string { return "range" }

// Assign implements Assignor.
func (Range) Assign(in Input) Assignment {
	members := inOrder(in.Members)
	topics := make(map[[16]byte]*division, len(in.Partitions))
	for _, m := range members {
		for _, t := range m.Topics {
			if d := topics[t]; d != nil {
				d.members++
			} else {
				topics[t] = &division{partitions: in.Partitions[t], members: 1}
			}
		}
	}
	out := make(Assignment, len(members))
	for _, m := range members {
		mine := make(map[[16]byte][]int32)
		for _, t := range m.Topics {
			if from, to := topics[t].next(); from < to {
				mine[t] = interval(from, to)
			}
		}
		out[m.ID] = mine
	}
	return out
}

// division is a topic that is being given out in ranges.
type division struct {
	partitions, members int
	turn                int // how many members have had theirs
}

// next is the range of the next member: the first ones get one more where they do not come out even.
func (d *division) next() (from, to int) {
	each, more := d.partitions/d.members, d.partitions%d.members
	from = d.turn*each + min(d.turn, more)
	d.turn++
	return from, d.turn*each + min(d.turn, more)
}

func interval(from, to int) []int32 {
	all := make([]int32, 0, to-from)
	for p := from; p < to; p++ {
		all = append(all, int32(p))
	}
	return all
}
