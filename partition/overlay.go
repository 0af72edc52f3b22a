package partition

// overlay is what a leader has proposed and not yet seen committed, by producer id. Like the rest of a leader's private
// state it goes with the leadership; the applied state never depends on it.
type overlay map[int64]flights

// flights are one producer's batches in flight, linked by Pending.newer from oldest to newest.
type flights struct{ oldest, newest *Pending }

// find is the batch in flight that q repeats. The caller has checked that q is of the newest epoch in flight.
func (f flights) find(q sequence) *Pending {
	for pd := f.oldest; pd != nil; pd = pd.newer {
		if pd.seq == q {
			return pd
		}
	}
	return nil
}

// add appends a batch that was judged to be new.
func (o overlay) add(pd *Pending) {
	f := o[pd.seq.producer]
	if f.newest == nil {
		f.oldest = pd
	} else {
		f.newest.newer = pd
	}
	f.newest = pd
	o[pd.seq.producer] = f
}

// committed takes out a batch, with the older ones: their turn is over too.
func (o overlay) committed(pd *Pending) {
	f := o[pd.seq.producer]
	for old := f.oldest; old != nil; old = old.newer {
		if old == pd {
			o.put(pd.seq.producer, flights{pd.newer, f.newest})
			return
		}
	}
}

// failed takes out a batch, with the newer ones: they were judged as following it. They stay in flight and may commit.
func (o overlay) failed(pd *Pending) {
	f := o[pd.seq.producer]
	var before *Pending
	for at := f.oldest; at != nil; before, at = at, at.newer {
		if at != pd {
			continue
		}
		if before == nil {
			delete(o, pd.seq.producer)
			return
		}
		before.newer = nil
		o.put(pd.seq.producer, flights{f.oldest, before})
		return
	}
}

func (o overlay) put(producer int64, f flights) {
	if f.oldest == nil {
		delete(o, producer)
		return
	}
	o[producer] = f
}
