package inspect

import (
	"io"
	"unicode/utf8"

	"github.com/quirelog/quire/segment/batch"
)

// BatchView is a batch for JSON.
type BatchView struct {
	Type          string       `json:"type"` // batch
	File          string       `json:"file"`
	Position      int64        `json:"position"`
	Size          int          `json:"size"`
	BaseOffset    batch.Offset `json:"base_offset"`
	LastOffset    batch.Offset `json:"last_offset"`
	Count         int32        `json:"count"`
	LeaderEpoch   int32        `json:"leader_epoch"`
	ProducerID    int64        `json:"producer_id"`
	ProducerEpoch int16        `json:"producer_epoch"`
	BaseSequence  int32        `json:"base_sequence"`
	LastSequence  int32        `json:"last_sequence"`
	Transactional bool         `json:"transactional"`
	Control       bool         `json:"control"`
	TimestampType string       `json:"timestamp_type"`
	MaxTimestamp  int64        `json:"max_timestamp"` // ms since the epoch
	Compression   string       `json:"compression"`
	CRC           uint32       `json:"crc"`
	Valid         bool         `json:"valid"`
	Records       []RecordView `json:"records,omitempty"`
}

// RecordView is a record for JSON.
type RecordView struct {
	Offset     batch.Offset `json:"offset"`
	Timestamp  int64        `json:"timestamp"`
	Sequence   int32        `json:"sequence"`
	KeySize    int          `json:"key_size"`   // -1: none
	ValueSize  int          `json:"value_size"` // -1: a tombstone
	HeaderKeys []string     `json:"header_keys,omitempty"`
	Data
}

// Data is what a record holds. Text stands in Key and Value, other bytes, in base64, in the fields beside them.
type Data struct {
	Key      *string `json:"key,omitempty"`
	KeyB64   []byte  `json:"key_base64,omitempty"`
	Value    *string `json:"value,omitempty"`
	ValueB64 []byte  `json:"value_base64,omitempty"`
}

// Views calls fn for every batch of a segment file, and returns how many bytes at its end are no whole batch.
func Views(f io.ReaderAt, size int64, name string, o KafkaOptions, fn func(*BatchView) error) (torn int64, err error) {
	valid, err := Batches(f, size, func(b *Batch) error {
		v := view(b, name)
		if o.Records || o.Data {
			err := b.Records(func(r *batch.Record) { v.Records = append(v.Records, recordView(b, r, o.Data)) })
			if err != nil {
				return err
			}
		}
		return fn(&v)
	})
	return size - valid, err
}

func view(b *Batch, name string) BatchView {
	h := &b.Header
	return BatchView{
		Type: "batch", File: name, Position: b.Position, Size: h.Size(), BaseOffset: h.BaseOffset, LastOffset: h.Next() - 1,
		Count: h.NumRecords, LeaderEpoch: h.LeaderEpoch, ProducerID: h.ProducerID, ProducerEpoch: h.ProducerEpoch,
		BaseSequence: h.BaseSequence, LastSequence: b.LastSequence(), Transactional: h.Transactional(), Control: h.Control(),
		TimestampType: b.TimestampType(), MaxTimestamp: h.MaxTimestamp,
		Compression: h.Compression().String(), CRC: h.CRC, Valid: b.Valid,
	}
}

func recordView(b *Batch, r *batch.Record, data bool) RecordView {
	v := RecordView{
		Offset: r.Offset, Timestamp: r.Timestamp, Sequence: b.Sequence(r), KeySize: byteCount(r.Key), ValueSize: byteCount(r.Value),
	}
	for _, h := range r.Headers {
		v.HeaderKeys = append(v.HeaderKeys, h.Key)
	}
	if data {
		v.Key, v.KeyB64 = textOrBytes(r.Key)
		v.Value, v.ValueB64 = textOrBytes(r.Value)
	}
	return v
}

func textOrBytes(b []byte) (*string, []byte) {
	switch {
	case b == nil:
		return nil, nil
	case !utf8.Valid(b):
		return nil, append([]byte(nil), b...)
	}
	s := string(b)
	return &s, nil
}
