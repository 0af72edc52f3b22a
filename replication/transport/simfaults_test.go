package transport

import (
	"time"

	"github.com/hashicorp/raft"
)

// call has somebody stand for election: by an elector that knows whether a leader has resigned, or by Raft's own timer; or a leader hands over.
func (w *world) call() {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	if n.leads && w.rng.IntN(3) > 0 {
		n.handOver(w.nodes[w.rng.IntN(len(w.nodes))])
	} else {
		n.calledIfOpen()
	}
	w.at(w.dur(50, 1500), w.call)
}

func (n *node) calledIfOpen() {
	if n.up && n.open%2 == 1 {
		n.called()
	}
}

func (n *node) called() {
	if n.w.rng.IntN(2) == 0 {
		for _, o := range n.w.nodes {
			if o.id == n.leader && o.up && !o.leads {
				n.pacts.isOver(n.ballot, n.term)
			}
		}
	}
	e := func() election { return n.pacts.stands(n.ballot, n.id, 0) }
	n.inGroup(0, func() {
		if n.w.rng.IntN(5) == 0 { // Raft's own timer asks nobody
			n.campaign()
			return
		}
		n.await(e, n.campaign)
	})
}

func (n *node) handOver(to *node) {
	if to == n {
		return
	}
	term := n.term
	n.silent, n.serves = term, false
	n.inGroup(2500*time.Millisecond, func() { // it came to nothing
		if n.leads && n.term == term {
			n.campaign()
		}
	})
	n.send(to, func() {
		if to.open%2 == 0 {
			return
		}
		if to.pacts.called(to.ballot, n.id, term) {
			to.campaign()
		} else {
			to.await(func() election { return to.pacts.stands(to.ballot, to.id, 0) }, to.campaign)
		}
	})
}

// trouble makes faults, until it is told to be calm.
func (w *world) trouble() {
	if w.calm {
		return
	}
	n, o := w.nodes[w.rng.IntN(len(w.nodes))], w.nodes[w.rng.IntN(len(w.nodes))]
	switch w.rng.IntN(6) {
	case 0:
		n.paused = w.now + w.dur(0, 3000)
	case 1:
		if n.up {
			n.crash()
			back := w.dur(0, 1500)
			if w.rng.IntN(2) == 0 { // at once, and soon somebody wants its vote
				back = w.dur(0, 20)
				w.at(back+w.dur(0, 400), o.calledIfOpen)
			}
			w.at(back, n.start)
		}
	case 2:
		if n.up && n.open%2 == 1 {
			n.leave()
			n.soon(w.dur(0, 1500), func() {
				if n.open%2 == 0 {
					n.join()
				}
			})
		}
	case 3:
		wire := [2]raft.ServerID{n.id, o.id}
		w.cut[wire] = true
		w.at(w.dur(0, 5000), func() { delete(w.cut, wire) })
	case 4: // only appends are lost, as where a group's Raft hangs
		n.deaf = w.now + w.dur(0, 5000)
	case 5:
		n.others(func(o *node) {
			for _, wire := range [][2]raft.ServerID{{n.id, o.id}, {o.id, n.id}} {
				w.cut[wire] = true
				w.at(w.dur(0, 3000), func() { delete(w.cut, wire) })
			}
		})
	}
	w.at(w.dur(0, 1500), w.trouble)
}
