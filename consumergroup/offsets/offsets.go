// Package offsets is the committed offsets of one group: a table that entries of the journal change.
package offsets

import (
	"cmp"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/quirelog/quire/consumergroup/journal"
)

// Committed is a committed offset.
type Committed struct {
	Offset      int64
	LeaderEpoch int32 // -1: unknown
	Metadata    string
	CommitTime  int64    // ms since the epoch
	ExpireTime  int64    // ms since the epoch; -1: as the broker's retention says (only OffsetCommit versions 2 to 4 say otherwise)
	TopicID     [16]byte // of the topic that it was committed for; zero: not known
}

// Partition names a partition of a topic.
type Partition struct {
	Topic     string
	Partition int32
}

// Table is what one group has committed. Its zero value is empty. It is not safe for concurrent use. It keeps nothing of the entries that it
// is given, and takes about 30 bytes an offset beside metadata: there may be millions.
type Table struct {
	topics []*topic // by name; each has partitions
	len    int
	bytes  int
}

// topic is the offsets of one topic. Its partitions are sorted, so that inserting one moves those above it: there are no more of them than
// the topic has.
type topic struct {
	name       string
	id         [16]byte // of all partitions but those whose rest says otherwise: the newest one that is known
	partitions []partition
	rest       map[int32]rest // of partitions that have any
	bytes      int            // of its memory, about
}

// partition is what every committed offset has.
type partition struct {
	offset, commitTime     int64
	partition, leaderEpoch int32
}

// rest is what few committed offsets have.
type rest struct {
	metadata   string
	expireTime int64
	id         [16]byte
}

// Apply makes an entry of the journal true.
func (t *Table) Apply(e *journal.OffsetCommit) {
	at, found := t.search(e.Topic)
	if e.Value == nil {
		if found {
			t.remove(at, e.Partition)
		}
		return
	}
	if !found {
		t.topics = slices.Insert(t.topics, at, &topic{name: strings.Clone(e.Topic), id: e.Value.TopicID, bytes: topicBytes + len(e.Topic)})
		t.bytes += t.topics[at].bytes
	}
	in := t.topics[at]
	t.bytes -= in.bytes
	if in.put(e) {
		t.len++
	}
	t.bytes += in.bytes
}

// remove forgets a partition of a topic, and the topic with its last one.
func (t *Table) remove(at int, p int32) {
	in := t.topics[at]
	t.bytes -= in.bytes
	if in.remove(p) {
		t.len--
	}
	if len(in.partitions) == 0 {
		t.topics = slices.Delete(t.topics, at, at+1)
		return
	}
	t.bytes += in.bytes
}

// search finds a topic, or where it belongs.
func (t *Table) search(name string) (int, bool) {
	return slices.BinarySearchFunc(t.topics, name, func(t *topic, name string) int { return cmp.Compare(t.name, name) })
}

func (t *topic) search(p int32) (int, bool) {
	return slices.BinarySearchFunc(t.partitions, p, func(p partition, number int32) int { return cmp.Compare(p.partition, number) })
}

// put reports whether the partition is a new one.
func (t *topic) put(e *journal.OffsetCommit) bool {
	v := e.Value
	if v.TopicID != t.id && v.TopicID != [16]byte{} {
		t.adopt(v.TopicID)
	}
	p := partition{offset: v.Offset, commitTime: v.CommitTimestamp, partition: e.Partition, leaderEpoch: v.LeaderEpoch}
	at, found := t.search(e.Partition)
	if found {
		t.partitions[at] = p
	} else {
		t.partitions = slices.Insert(t.partitions, at, p)
		t.bytes += partitionBytes
	}
	r := rest{metadata: strings.Clone(v.Metadata), expireTime: v.ExpireTimestamp, id: v.TopicID}
	if r.expireTime <= 0 { // nobody means 1970: the field was left at its zero value
		r.expireTime = -1
	}
	t.setRest(e.Partition, r)
	return !found
}

// setRest remembers r unless there is nothing to remember.
func (t *topic) setRest(p int32, r rest) {
	if r != (rest{expireTime: -1, id: t.id}) {
		if t.rest == nil {
			t.rest = make(map[int32]rest)
		}
		t.forget(p)
		t.rest[p] = r
		t.bytes += restBytes + len(r.metadata)
		return
	}
	t.forget(p)
	if len(t.rest) == 0 {
		t.rest = nil
	}
}

// forget lets go of what p has in rest.
func (t *topic) forget(p int32) {
	if r, ok := t.rest[p]; ok {
		t.bytes -= restBytes + len(r.metadata)
		delete(t.rest, p)
	}
}

// adopt makes id the one of the topic. What was committed under another id, or under none by older clients, remembers that.
func (t *topic) adopt(id [16]byte) {
	old := t.id
	t.id = id
	for i := range t.partitions {
		p := t.partitions[i].partition
		r, ok := t.rest[p]
		if !ok {
			r = rest{expireTime: -1, id: old}
		}
		t.setRest(p, r)
	}
}

// remove reports whether there was something to remove.
func (t *topic) remove(p int32) bool {
	at, found := t.search(p)
	if found {
		t.partitions = slices.Delete(t.partitions, at, at+1)
		t.bytes -= partitionBytes
		t.forget(p)
	}
	return found
}

func (t *topic) committed(p *partition) Committed {
	c := Committed{Offset: p.offset, LeaderEpoch: p.leaderEpoch, CommitTime: p.commitTime, ExpireTime: -1, TopicID: t.id}
	if r, ok := t.rest[p.partition]; ok {
		c.Metadata, c.ExpireTime, c.TopicID = r.metadata, r.expireTime, r.id
	}
	return c
}

// Get finds a committed offset.
func (t *Table) Get(topic string, partition int32) (Committed, bool) {
	at, found := t.search(topic)
	if !found {
		return Committed{}, false
	}
	in := t.topics[at]
	if at, found = in.search(partition); !found {
		return Committed{}, false
	}
	return in.committed(&in.partitions[at]), true
}

// All goes over the table, by topic and partition. The table must not change meanwhile.
func (t *Table) All() iter.Seq2[Partition, Committed] {
	return func(yield func(Partition, Committed) bool) {
		for _, in := range t.topics {
			for i := range in.partitions {
				if !yield(Partition{Topic: in.name, Partition: in.partitions[i].partition}, in.committed(&in.partitions[i])) {
					return
				}
			}
		}
	}
}

// Topic goes over the committed offsets of one topic, by partition. The table must not change meanwhile.
func (t *Table) Topic(name string) iter.Seq2[int32, Committed] {
	return func(yield func(int32, Committed) bool) {
		at, found := t.search(name)
		if !found {
			return
		}
		in := t.topics[at]
		for i := range in.partitions {
			if !yield(in.partitions[i].partition, in.committed(&in.partitions[i])) {
				return
			}
		}
	}
}

// Len is how many offsets there are.
func (t *Table) Len() int { return t.len }

// What the table holds in memory, about: of a topic beside its name, of an offset, and of one that has more beside its metadata.
const (
	topicBytes     = 160
	partitionBytes = 32
	restBytes      = 100
)

// Bytes is about the memory that the table holds.
func (t *Table) Bytes() int { return t.bytes }

// Growth is about the memory that the table would take more after Apply(e).
func (t *Table) Growth(e *journal.OffsetCommit) int {
	if e.Value == nil {
		return 0
	}
	old, found := t.Get(e.Topic, e.Partition)
	n := len(e.Value.Metadata) - len(old.Metadata)
	if !found {
		n += partitionBytes
	}
	return n
}

// Expiry says which offsets have expired (KIP-211).
type Expiry struct {
	Now       time.Time
	Retention time.Duration // 0: only what has an ExpireTime of its own expires
	// Since is when the group became empty: retention counts from it, or from the commit where that is later. Zero: from the commit. (Kafka
	// counts from it alone, and so deletes what is committed to an empty group without delay.)
	Since time.Time
	// Subscribed says whether a member reads the topic: its offsets never expire. nil: no topic is read.
	Subscribed func(topic string) bool
}

// Expired lists what has expired, by topic and partition. A group expires offsets while it is empty; also one with members those of
// topics that it does not read any more, if it is known what they read: it uses the new protocol, or it is Stable and its protocol type is
// "consumer".
func (t *Table) Expired(e Expiry) []Partition {
	var expired []Partition
	for _, in := range t.topics {
		if e.Subscribed != nil && e.Subscribed(in.name) {
			continue
		}
		for i := range in.partitions {
			if p := &in.partitions[i]; e.expired(p.commitTime, in.expireTime(p.partition)) {
				expired = append(expired, Partition{Topic: in.name, Partition: p.partition})
			}
		}
	}
	return expired
}

func (t *topic) expireTime(p int32) int64 {
	if r, ok := t.rest[p]; ok {
		return r.expireTime
	}
	return -1
}

func (e *Expiry) expired(commitTime, expireTime int64) bool {
	now := e.Now.UnixMilli()
	if expireTime >= 0 {
		return now >= expireTime
	}
	if !e.Since.IsZero() {
		commitTime = max(commitTime, e.Since.UnixMilli())
	}
	return e.Retention > 0 && now-commitTime >= e.Retention.Milliseconds()
}
