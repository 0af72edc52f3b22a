package batch

import (
	"encoding/binary"
	"fmt"
)

// Validate checks that b is exactly one whole, well-formed batch as a client may send it: magic, length, CRC-32C, counts,
// codec, sequence fields, no control batch. It decodes no record and allocates nothing.
//
// The errors are told apart as Kafka's broker does: ErrUnsupportedFormat for magic 0 and 1; ErrCorrupt for a length or CRC
// that does not fit and for an unknown magic; ErrInvalidRecord for everything that a resend of the same bytes cannot mend.
func Validate(b []byte) (Header, error) {
	if err := checkMagic(b); err != nil {
		return Header{}, err
	}
	h, err := ParseHeader(b)
	if err != nil {
		return Header{}, err
	}
	if h.Size() != len(b) {
		return Header{}, fmt.Errorf("%w: length field says %d bytes, %d are there", ErrCorrupt, h.Size(), len(b))
	}
	if crc := checksum(b); crc != h.CRC {
		return Header{}, fmt.Errorf("%w: CRC field %08x, computed %08x", ErrCorrupt, h.CRC, crc)
	}
	if err := h.check(); err != nil {
		return Header{}, err
	}
	return h, nil
}

// check holds the fields against each other.
func (h *Header) check() error {
	switch {
	case h.NumRecords <= 0:
		return fmt.Errorf("%w: record count %d", ErrInvalidRecord, h.NumRecords)
	case int64(h.NumRecords) != int64(h.LastOffsetDelta)+1:
		return fmt.Errorf("%w: record count %d, last offset delta %d", ErrInvalidRecord, h.NumRecords, h.LastOffsetDelta)
	case h.Compression() > Zstd:
		return fmt.Errorf("%w: unknown codec %d", ErrInvalidRecord, h.Compression())
	case h.Compression() == None && int64(h.NumRecords)*minRecordSize > int64(h.Length)-MinLength:
		return fmt.Errorf("%w: %d records in %d bytes", ErrInvalidRecord, h.NumRecords, h.Length-MinLength)
	case h.Control():
		return fmt.Errorf("%w: control batch from a client", ErrInvalidRecord)
	}
	return h.checkProducer()
}

// checkProducer checks the fields of idempotent producers (KIP-98).
func (h *Header) checkProducer() error {
	switch {
	case h.ProducerID < NoProducer:
		return fmt.Errorf("%w: producer id %d", ErrInvalidRecord, h.ProducerID)
	case h.ProducerID == NoProducer && h.Transactional():
		return fmt.Errorf("%w: transactional batch without a producer id", ErrInvalidRecord)
	case h.ProducerID == NoProducer:
		return nil
	case h.ProducerEpoch < 0:
		return fmt.Errorf("%w: producer epoch %d of producer id %d", ErrInvalidRecord, h.ProducerEpoch, h.ProducerID)
	case h.BaseSequence < 0:
		return fmt.Errorf("%w: base sequence %d of producer id %d", ErrInvalidRecord, h.BaseSequence, h.ProducerID)
	}
	return nil
}

// checkMagic tells the formats apart. Bytes too short to have a magic pass: ParseHeader refuses them.
func checkMagic(b []byte) error {
	if len(b) <= posMagic {
		return nil
	}
	switch magic := int8(b[posMagic]); magic {
	case 2:
		return nil
	case 0, 1:
		return fmt.Errorf("%w: magic %d, only 2 is taken", ErrUnsupportedFormat, magic)
	default:
		return fmt.Errorf("%w: magic %d", ErrCorrupt, magic)
	}
}

// Split returns the first batch of b and the rest. ErrCorrupt when b does not begin with a whole batch of a known magic,
// ErrUnsupportedFormat for magic 0 and 1. The CRC is not checked.
func Split(b []byte) (first, rest []byte, err error) {
	if err := checkMagic(b); err != nil {
		return nil, nil, err
	}
	if len(b) < HeaderSize {
		return nil, nil, fmt.Errorf("%w: %d bytes, the header alone has %d", ErrCorrupt, len(b), HeaderSize)
	}
	length := int64(int32(binary.BigEndian.Uint32(b[posLength:])))
	if length < MinLength || length+LogOverhead > int64(len(b)) {
		return nil, nil, fmt.Errorf("%w: length field %d, not within %d..%d", ErrCorrupt, length, MinLength, len(b)-LogOverhead)
	}
	size := int(length) + LogOverhead
	return b[:size:size], b[size:], nil
}
