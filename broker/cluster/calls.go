package cluster

import (
	"encoding/binary"
	"math"
	"time"
)

// answer is what a member tells an elector of a group. Without a vote it tells nothing else.
type answer struct {
	id        ID
	votes     bool  // the group is open there, and that broker has a vote
	state     State // Leader also where it knows another that leads
	term      uint64
	lastTerm  uint64
	lastIndex uint64
	leader    int32         // broker id of whom it takes for the leader; -1: nobody
	promised  time.Duration // for so long it will not vote against that
	missing   bool          // it was not to be had; not sent
}

// order makes a broker stand for election in a group, if its term there still is the one it told.
type order struct {
	id   ID
	term uint64
	over uint64 // the leaders of terms up to this have said that they lead no more
}

// maxPromise is the longest promise that is believed.
const maxPromise = 10 * time.Second

func encodeIDs(ids []ID) []byte {
	b := binary.AppendUvarint(make([]byte, 0, 3+20*len(ids)), uint64(len(ids)))
	for _, id := range ids {
		b = appendID(b, id)
	}
	return b
}

func decodeIDs(b []byte) ([]ID, error) {
	r := reader{b: b}
	ids := make([]ID, r.count(maxAsked, 20))
	for i := range ids {
		ids[i] = r.id()
	}
	return ids, r.end("list of groups")
}

// encodeAnswers leaves out the groups' ids: answers have the order of the questions.
func encodeAnswers(answers []answer) []byte {
	b := binary.AppendUvarint(make([]byte, 0, 3+24*len(answers)), uint64(len(answers)))
	for _, a := range answers {
		if !a.votes {
			b = append(b, 0)
			continue
		}
		b = append(b, 1+byte(a.state))
		b = binary.AppendUvarint(b, a.term)
		b = binary.AppendUvarint(b, a.lastTerm)
		b = binary.AppendUvarint(b, a.lastIndex)
		b = binary.AppendUvarint(b, uint64(max(a.leader, -1)+1))
		b = binary.AppendUvarint(b, uint64(min(max(a.promised, 0), maxPromise).Microseconds()))
	}
	return b
}

// decodeAnswers reads the answers to questions about ids.
func decodeAnswers(b []byte, ids []ID) ([]answer, error) {
	r := reader{b: b}
	r.bad = r.count(maxAsked, 1) != len(ids)
	answers := make([]answer, len(ids))
	for i, id := range ids {
		a := answer{id: id}
		if s := r.byte(); s > 0 {
			a.votes, a.state = true, State(s-1)
			r.bad = r.bad || a.state > Leader
			a.term, a.lastTerm, a.lastIndex = r.uvarint(math.MaxUint64), r.uvarint(math.MaxUint64), r.uvarint(math.MaxUint64)
			a.leader = int32(r.uvarint(math.MaxInt32)) - 1
			a.promised = time.Duration(r.uvarint(uint64(maxPromise.Microseconds()))) * time.Microsecond
		}
		answers[i] = a
	}
	return answers, r.end("states of groups")
}

func encodeOrders(orders []order) []byte {
	b := binary.AppendUvarint(make([]byte, 0, 3+26*len(orders)), uint64(len(orders)))
	for _, o := range orders {
		b = binary.AppendUvarint(binary.AppendUvarint(appendID(b, o.id), o.term), o.over)
	}
	return b
}

func decodeOrders(b []byte) ([]order, error) {
	r := reader{b: b}
	orders := make([]order, r.count(maxAsked, 22))
	for i := range orders {
		orders[i] = order{r.id(), r.uvarint(math.MaxUint64), r.uvarint(math.MaxUint64)}
	}
	return orders, r.end("orders to stand for election")
}
