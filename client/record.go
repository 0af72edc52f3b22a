package client

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Header is a header of a record. Keys may repeat; their order is kept.
type Header = kgo.RecordHeader

// Record is one record of a topic.
type Record struct {
	Topic string
	// Key decides the partition, by Kafka's murmur2: records of one key stay in order. A nil key goes anywhere; an empty one is a
	// key like any other.
	Key []byte
	// Value is the payload. nil is a tombstone: on a compacted topic it deletes its key.
	Value   []byte
	Headers []Header
	// Timestamp is kept in whole milliseconds. Zero when published: now.
	Timestamp time.Time

	// Where the record is. Publishing sets them; what they were before does not matter.
	Partition int32
	Offset    int64
}

func (r *Record) kgo() *kgo.Record {
	return &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp}
}

// placed notes where the record was stored.
func (r *Record) placed(k *kgo.Record) {
	r.Partition, r.Offset, r.Timestamp = k.Partition, k.Offset, k.Timestamp
}

func newRecord(k *kgo.Record) *Record {
	return &Record{Topic: k.Topic, Key: k.Key, Value: k.Value, Headers: k.Headers, Timestamp: k.Timestamp,
		Partition: k.Partition, Offset: k.Offset}
}
