package inspect

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/quirelog/quire/segment/batch"
)

// KafkaOptions say how much of a file is printed.
type KafkaOptions struct {
	Records bool // as kafka-dump-log --deep-iteration
	Data    bool // and their keys and values, as --print-data-log; it implies Records
}

// Kafka prints a segment file as kafka-dump-log does, line by line; name is what the file is called and base its base offset.
func Kafka(w io.Writer, f io.ReaderAt, size int64, name string, base batch.Offset, o KafkaOptions) error {
	out := bufio.NewWriterSize(w, 64<<10)
	fmt.Fprintf(out, "Log starting offset: %d\n", base)
	valid, err := Batches(f, size, func(b *Batch) error {
		kafkaBatch(out, b)
		if !o.Records && !o.Data {
			return out.Flush()
		}
		if err := b.Records(func(r *batch.Record) { kafkaRecord(out, b, r, o.Data) }); err != nil {
			return err
		}
		return out.Flush()
	})
	if err == nil && size > valid {
		fmt.Fprintf(out, "Found %d invalid bytes at the end of %s\n", size-valid, name)
	}
	if failed := out.Flush(); err == nil {
		err = failed
	}
	return err
}

func kafkaBatch(w io.Writer, b *Batch) {
	h := &b.Header
	horizon := "OptionalLong.empty"
	if h.Attributes&attrDeleteHorizon != 0 {
		horizon = fmt.Sprintf("OptionalLong[%d]", h.BaseTimestamp)
	}
	fmt.Fprintf(w, "baseOffset: %d lastOffset: %d count: %d baseSequence: %d lastSequence: %d producerId: %d producerEpoch: %d "+
		"partitionLeaderEpoch: %d isTransactional: %t isControl: %t deleteHorizonMs: %s position: %d %s: %d size: %d magic: %d "+
		"compresscodec: %s crc: %d isvalid: %t\n",
		h.BaseOffset, h.Next()-1, h.NumRecords, h.BaseSequence, b.LastSequence(), h.ProducerID, h.ProducerEpoch,
		h.LeaderEpoch, h.Transactional(), h.Control(), horizon, b.Position, b.TimestampType(), h.MaxTimestamp, h.Size(), h.Magic,
		h.Compression(), h.CRC, b.Valid)
}

// attrDeleteHorizon marks a batch whose base timestamp says when its tombstones may go (KIP-534).
const attrDeleteHorizon = 1 << 6

func kafkaRecord(w io.Writer, b *Batch, r *batch.Record, data bool) {
	keys := make([]string, len(r.Headers))
	for i, h := range r.Headers {
		keys[i] = javaText([]byte(h.Key))
	}
	fmt.Fprintf(w, "| offset: %d %s: %d keySize: %d valueSize: %d sequence: %d headerKeys: [%s]",
		r.Offset, b.TimestampType(), r.Timestamp, byteCount(r.Key), byteCount(r.Value), b.Sequence(r), strings.Join(keys, ","))
	switch {
	case b.Header.Control():
		kafkaControl(w, r)
	case data:
		if r.Key != nil {
			fmt.Fprintf(w, " key: %s", javaText(r.Key))
		}
		if r.Value != nil {
			fmt.Fprintf(w, " payload: %s", javaText(r.Value))
		}
	}
	fmt.Fprintln(w)
}

// byteCount is -1 for null.
func byteCount(b []byte) int {
	if b == nil {
		return -1
	}
	return len(b)
}

// kafkaControl tells of the end of a transaction (KIP-98): key is version and type, value version and coordinator epoch.
func kafkaControl(w io.Writer, r *batch.Record) {
	if len(r.Key) < 4 || len(r.Value) < 6 {
		return
	}
	kind, epoch := binary.BigEndian.Uint16(r.Key[2:]), int32(binary.BigEndian.Uint32(r.Value[2:]))
	switch kind {
	case 0:
		fmt.Fprintf(w, " endTxnMarker: ABORT coordinatorEpoch: %d", epoch)
	case 1:
		fmt.Fprintf(w, " endTxnMarker: COMMIT coordinatorEpoch: %d", epoch)
	default:
		fmt.Fprintf(w, " controlType: %d", kind)
	}
}
