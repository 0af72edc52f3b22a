package replication

import (
	"sync"

	"github.com/quirelog/quire/segment"
)

// tailCache keeps the newest entries of groups with followers in memory, bounded in bytes over all groups of the broker: the
// library reads every entry again, once for each follower and once to apply it. Oldest go first, whichever group's they are.
type tailCache struct {
	limit int64

	mu    sync.Mutex // guards what follows and the tails
	bytes int64
	order []*cachedEntry // oldest first, from head on
	head  int
}

// cachedEntry is read by many and written by nobody.
type cachedEntry struct {
	entry segment.Entry
	cost  int64
	of    *tail // nil: it was truncated
}

// tail is one group's part of the cache: consecutive entries, from head on.
type tail struct {
	cache   *tailCache
	entries []*cachedEntry
	head    int
}

// copyBelow is what is copied in any case: where nobody knows in what buffer a batch lies, as with those that clients send, it may be one
// of many in it.
const copyBelow = 64 << 10

// put takes entries that follow what was put before. A batch that fills less than a quarter of the buffer it lies in
// is copied, so that it does not keep the whole buffer alive. frames are the sizes of these buffers; 0: unknown.
func (t *tail) put(entries []segment.Entry, frames []int) {
	c := t.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(t.entries); n > t.head && t.entries[n-1].entry.Index+1 != entries[0].Index {
		t.cut(0) // the group was alone for a while
	}
	for i := range entries {
		e := &cachedEntry{entry: entries[i], of: t}
		d := e.entry.Data
		frame := max(frames[i], cap(d))
		if len(d) < frame/4 || frames[i] == 0 && len(d) < copyBelow {
			e.entry.Data = append(make([]byte, 0, len(d)), d...)
			frame = len(d)
		}
		e.cost = int64(min(frame, 4*len(d))) + entryCost
		t.entries = append(t.entries, e)
		c.order = append(c.order, e)
		c.bytes += e.cost
	}
	for c.bytes > c.limit {
		c.evict()
	}
}

// entryCost is what an entry counts for beside its bytes: its bookkeeping.
const entryCost = 128

// evict lets go of the oldest entry.
func (c *tailCache) evict() {
	e := c.order[c.head]
	c.order[c.head] = nil
	c.order, c.head = compact(c.order, c.head+1)
	if t := e.of; t != nil {
		t.entries[t.head] = nil
		t.entries, t.head = compact(t.entries, t.head+1)
		c.drop(e)
	}
}

func (c *tailCache) drop(e *cachedEntry) {
	c.bytes -= e.cost
	e.of, e.entry = nil, segment.Entry{}
}

// compact moves a queue's content to the front of its array when half of it is spent.
func compact(q []*cachedEntry, head int) ([]*cachedEntry, int) {
	if head < 64 || head < len(q)/2 {
		return q, head
	}
	n := copy(q, q[head:])
	clear(q[n:])
	return q[:n], 0
}

// get finds an entry.
func (t *tail) get(i segment.Index) (segment.Entry, bool) {
	t.cache.mu.Lock()
	defer t.cache.mu.Unlock()
	if t.head == len(t.entries) {
		return segment.Entry{}, false
	}
	first := t.entries[t.head].entry.Index
	if i < first || i-first >= segment.Index(len(t.entries)-t.head) {
		return segment.Entry{}, false
	}
	return t.entries[t.head+int(i-first)].entry, true
}

// truncateAfter forgets entries above last.
func (t *tail) truncateAfter(last segment.Index) {
	t.cache.mu.Lock()
	defer t.cache.mu.Unlock()
	t.cut(last)
}

func (t *tail) cut(last segment.Index) {
	n := len(t.entries)
	for n > t.head && t.entries[n-1].entry.Index > last {
		n--
		t.cache.drop(t.entries[n])
		t.entries[n] = nil
	}
	t.entries = t.entries[:n]
}
