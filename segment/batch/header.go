package batch

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Sizes and positions within a batch, in bytes.
const (
	HeaderSize  = 61                       // fixed header of a format-2 batch
	LogOverhead = 12                       // base offset and length, which the length field does not count
	MinLength   = HeaderSize - LogOverhead // smallest value of the length field
)

// Where the header's fields begin. Magic lies at the same place in the old formats, which is how they are told apart.
const (
	posBaseOffset      = 0
	posLength          = 8
	posLeaderEpoch     = 12
	posMagic           = 16
	posCRC             = 17
	posAttributes      = 21 // the CRC covers everything from here on
	posLastOffsetDelta = 23
	posBaseTimestamp   = 27
	posMaxTimestamp    = 35
	posProducerID      = 43
	posProducerEpoch   = 51
	posBaseSequence    = 53
	posNumRecords      = 57
)

// Bits of the attributes.
const (
	attrCompression   = 7
	attrLogAppendTime = 1 << 3
	attrTransactional = 1 << 4
	attrControl       = 1 << 5
)

// castagnoli has hardware instructions on amd64 and arm64, which hash/crc32 uses.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header is the fixed part of a record batch, decoded.
type Header struct {
	BaseOffset      Offset
	Length          int32 // bytes after the length field
	LeaderEpoch     int32
	Magic           int8
	CRC             uint32 // CRC-32C over the bytes from Attributes to the end
	Attributes      int16
	LastOffsetDelta int32
	BaseTimestamp   int64 // ms since the epoch
	MaxTimestamp    int64 // ms since the epoch
	ProducerID      int64
	ProducerEpoch   int16
	BaseSequence    int32
	NumRecords      int32
}

// Size is the length in bytes of the whole batch, header included.
func (h *Header) Size() int { return int(h.Length) + LogOverhead }

// Next is the offset after the batch's last record.
func (h *Header) Next() Offset { return h.BaseOffset + Offset(h.LastOffsetDelta) + 1 }

// Compression is the codec of the records part.
func (h *Header) Compression() Compression { return Compression(h.Attributes & attrCompression) }

// LogAppendTime says whether MaxTimestamp, set by the broker, is the timestamp of all records.
func (h *Header) LogAppendTime() bool { return h.Attributes&attrLogAppendTime != 0 }

// Transactional says whether the batch belongs to a transaction (KIP-98).
func (h *Header) Transactional() bool { return h.Attributes&attrTransactional != 0 }

// Control says whether the batch holds control records.
func (h *Header) Control() bool { return h.Attributes&attrControl != 0 }

// ParseHeader decodes the header at the start of b and checks nothing but that it is there: ErrCorrupt when b is shorter
// than HeaderSize or the length field is below MinLength.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, fmt.Errorf("%w: %d bytes, the header alone has %d", ErrCorrupt, len(b), HeaderSize)
	}
	be := binary.BigEndian
	h := Header{
		BaseOffset:      Offset(be.Uint64(b[posBaseOffset:])),
		Length:          int32(be.Uint32(b[posLength:])),
		LeaderEpoch:     int32(be.Uint32(b[posLeaderEpoch:])),
		Magic:           int8(b[posMagic]),
		CRC:             be.Uint32(b[posCRC:]),
		Attributes:      int16(be.Uint16(b[posAttributes:])),
		LastOffsetDelta: int32(be.Uint32(b[posLastOffsetDelta:])),
		BaseTimestamp:   int64(be.Uint64(b[posBaseTimestamp:])),
		MaxTimestamp:    int64(be.Uint64(b[posMaxTimestamp:])),
		ProducerID:      int64(be.Uint64(b[posProducerID:])),
		ProducerEpoch:   int16(be.Uint16(b[posProducerEpoch:])),
		BaseSequence:    int32(be.Uint32(b[posBaseSequence:])),
		NumRecords:      int32(be.Uint32(b[posNumRecords:])),
	}
	if h.Length < MinLength {
		return Header{}, fmt.Errorf("%w: length field %d is below %d", ErrCorrupt, h.Length, MinLength)
	}
	return h, nil
}

// put encodes h over the first HeaderSize bytes of b.
func (h *Header) put(b []byte) {
	be := binary.BigEndian
	be.PutUint64(b[posBaseOffset:], uint64(h.BaseOffset))
	be.PutUint32(b[posLength:], uint32(h.Length))
	be.PutUint32(b[posLeaderEpoch:], uint32(h.LeaderEpoch))
	b[posMagic] = byte(h.Magic)
	be.PutUint32(b[posCRC:], h.CRC)
	be.PutUint16(b[posAttributes:], uint16(h.Attributes))
	be.PutUint32(b[posLastOffsetDelta:], uint32(h.LastOffsetDelta))
	be.PutUint64(b[posBaseTimestamp:], uint64(h.BaseTimestamp))
	be.PutUint64(b[posMaxTimestamp:], uint64(h.MaxTimestamp))
	be.PutUint64(b[posProducerID:], uint64(h.ProducerID))
	be.PutUint16(b[posProducerEpoch:], uint16(h.ProducerEpoch))
	be.PutUint32(b[posBaseSequence:], uint32(h.BaseSequence))
	be.PutUint32(b[posNumRecords:], uint32(h.NumRecords))
}

// Stamp writes the base offset and the leader epoch into the header of the batch at the start of b. Both lie before the
// bytes that the CRC covers.
func Stamp(b []byte, base Offset, leaderEpoch int32) {
	binary.BigEndian.PutUint64(b[posBaseOffset:], uint64(base))
	binary.BigEndian.PutUint32(b[posLeaderEpoch:], uint32(leaderEpoch))
}

// StampAppendTime makes b, exactly one whole batch, a LogAppendTime batch of the time now (ms since the epoch) and computes
// its CRC anew.
func StampAppendTime(b []byte, now int64) {
	attributes := binary.BigEndian.Uint16(b[posAttributes:])
	binary.BigEndian.PutUint16(b[posAttributes:], attributes|attrLogAppendTime)
	binary.BigEndian.PutUint64(b[posMaxTimestamp:], uint64(now))
	putCRC(b)
}

func putCRC(b []byte) { binary.BigEndian.PutUint32(b[posCRC:], checksum(b)) }

// CheckCRC holds the CRC-32C of a whole batch against its header: ErrCorrupt where they differ, or b is no batch.
func CheckCRC(b []byte) error {
	h, err := ParseHeader(b)
	if err != nil {
		return err
	}
	if h.Size() != len(b) {
		return fmt.Errorf("%w: length field says %d bytes, %d are there", ErrCorrupt, h.Size(), len(b))
	}
	if got := checksum(b); got != h.CRC {
		return fmt.Errorf("%w: CRC field %08x, computed %08x", ErrCorrupt, h.CRC, got)
	}
	return nil
}

func checksum(b []byte) uint32 { return crc32.Checksum(b[posAttributes:], castagnoli) }
