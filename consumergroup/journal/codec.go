package journal

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// newest is the newest known version of the values of OffsetCommit and GroupMetadata, flexible the first one with tagged fields; the others
// have version 0 alone.
const (
	newest   = 4
	flexible = 4
)

// record is an Entry as the codec sees it.
type record interface {
	Entry
	kind() int16                   // the type number in front of the key
	key(c *coder)                  // the key's fields
	version() (int16, bool)        // of the value that is written; false: none, a tombstone
	value(c *coder, version int16) // the value's fields
}

// Encode makes the record's key and value; the value is nil for a tombstone. They belong to the caller. It fails only on a string that is
// too long for its field (32,767 bytes). Values have the version that Kafka 4.3.1 writes, whatever their Version says: an OffsetCommit
// version 4, or 1 where ExpireTimestamp is above 0 (which keeps neither leader epoch nor topic id); a GroupMetadata version 3.
func Encode(e Entry) (key, value []byte, err error) {
	r, ok := e.(record)
	if !ok {
		return nil, nil, fmt.Errorf("%T: %w", e, ErrUnknown)
	}
	c := coder{b: make([]byte, 0, sizeHint(e))}
	kind := r.kind()
	c.int16(&kind)
	r.key(&c)
	end := len(c.b)
	version, ok := r.version()
	if ok {
		c.int16(&version)
		r.value(&c, version)
	}
	if c.err != nil {
		return nil, nil, fmt.Errorf("encoding a journal record of type %d of group %.100q: %w", kind, e.GroupID(), c.err)
	}
	if key = c.b[:end:end]; ok {
		value = c.b[end:]
	}
	return key, value, nil
}

// sizeHint is what e takes about, exactly enough for an OffsetCommit: the one that there are many of.
func sizeHint(e Entry) int {
	const others = 256
	o, ok := e.(*OffsetCommit)
	if !ok {
		return others
	}
	n := 2 + 2 + len(o.Group) + 2 + len(o.Topic) + 4
	if o.Value != nil {
		n += 2 + 8 + 4 + 5 + len(o.Value.Metadata) + 8 + 8 + 3 + 16
	}
	return n
}

// Decode reads a record. ErrUnknown: a type or version that this version does not know, which a reader skips; any other error is
// damage. What is returned does not refer to key or value. Fields that the version does not have are what Kafka takes them for (leader
// epoch and expire time of a commit: -1); bytes behind the last field are ignored, and so are tagged fields nobody knows.
func Decode(key, value []byte) (Entry, error) {
	c := coder{b: key, text: string(key), reading: true}
	var kind int16
	if c.int16(&kind); c.err != nil {
		return nil, fmt.Errorf("the key of a journal record: %w", c.err)
	}
	r := newRecord(kind, value != nil)
	if r == nil {
		return nil, fmt.Errorf("journal record of type %d: %w", kind, ErrUnknown)
	}
	if r.key(&c); c.err != nil {
		return nil, fmt.Errorf("the key of a journal record of type %d: %w", kind, c.err)
	}
	if value == nil {
		return r, nil
	}
	c = coder{b: value, reading: true}
	var version int16
	c.int16(&version)
	if c.err == nil && !known(kind, version) {
		return nil, fmt.Errorf("version %d of a journal record of type %d: %w", version, kind, ErrUnknown)
	}
	if r.value(&c, version); c.err != nil {
		return nil, fmt.Errorf("the value of a journal record of type %d, version %d: %w", kind, version, c.err)
	}
	return r, nil
}

// known says whether a version of a value can be read. What brokers before Kafka 4.1 wrote as PartitionMetadata never is.
func known(kind, version int16) bool {
	switch kind {
	case kindOffsetCommitV0, kindOffsetCommit, kindGroupMetadata:
		return version >= 0 && version <= newest
	case kindPartitionMetadata:
		return false
	default:
		return version == 0
	}
}

// newRecord is an empty record of a kind, with an empty value if asked for; nil if the kind is not known.
func newRecord(kind int16, value bool) record {
	switch kind {
	case kindOffsetCommitV0, kindOffsetCommit:
		if !value {
			return new(OffsetCommit)
		}
		both := new(struct { // one allocation in place of two
			e OffsetCommit
			v kmsg.OffsetCommitValue
		})
		both.e.Value = &both.v
		return &both.e
	case kindGroupMetadata:
		return &GroupMetadata{Value: maybe[kmsg.GroupMetadataValue](value)}
	case kindConsumerGroup:
		return &ConsumerGroup{Value: maybe[ConsumerGroupValue](value)}
	case kindPartitionMetadata:
		return new(PartitionMetadata)
	case kindMember:
		return &Member{Value: maybe[MemberValue](value)}
	case kindTarget:
		return &Target{Value: maybe[TargetValue](value)}
	case kindTargetMember:
		return &TargetMember{Value: maybe[TargetMemberValue](value)}
	case kindCurrent:
		return &Current{Value: maybe[CurrentValue](value)}
	case kindRegex:
		return &Regex{Value: maybe[RegexValue](value)}
	}
	return nil
}

func maybe[T any](want bool) *T {
	if want {
		return new(T)
	}
	return nil
}
