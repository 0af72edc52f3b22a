package bench

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
)

// The value of a record, little-endian:
//
//	 0  4  CRC-32C of the bytes from 40 on, then of bytes 4 to 39, then of the key
//	 4  4  magic
//	 8  8  run
//	16  4  producer
//	20  4  partition
//	24  8  sequence: counts a producer's records to a partition, from 0
//	32  8  time the record was meant to be sent, ns since the epoch
//	40  n  filling
//
// The filling comes first in the checksum so that a sender, whose fillings stay the same, has to go through the head only.
const (
	recordMagic = 0x314e4251 // "QBN1"
	// MinRecordBytes is the size of the smallest value.
	MinRecordBytes = 40
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// head is what a record says about itself.
type head struct {
	run       uint64
	producer  uint32
	partition int32
	sequence  uint64
	intended  int64 // ns since the epoch
}

// stamp writes h into value; filled is the checksum of the filling (see fillSum).
func (h head) stamp(value, key []byte, filled uint32) {
	le := binary.LittleEndian
	le.PutUint32(value[4:], recordMagic)
	le.PutUint64(value[8:], h.run)
	le.PutUint32(value[16:], h.producer)
	le.PutUint32(value[20:], uint32(h.partition))
	le.PutUint64(value[24:], h.sequence)
	le.PutUint64(value[32:], uint64(h.intended))
	le.PutUint32(value, headSum(value, key, filled))
}

// readHead reads the head of a record. ours: it looks like a record of this package; intact: its checksum is right.
func readHead(value, key []byte) (h head, ours, intact bool) {
	if len(value) < MinRecordBytes {
		return head{}, false, false
	}
	le := binary.LittleEndian
	if le.Uint32(value[4:]) != recordMagic {
		return head{}, false, false
	}
	h = head{
		run: le.Uint64(value[8:]), producer: le.Uint32(value[16:]), partition: int32(le.Uint32(value[20:])),
		sequence: le.Uint64(value[24:]), intended: intendedOf(value),
	}
	return h, true, le.Uint32(value) == headSum(value, key, fillSum(value))
}

func intendedOf(value []byte) int64 { return int64(binary.LittleEndian.Uint64(value[32:])) }

func fillSum(value []byte) uint32 { return crc32.Checksum(value[MinRecordBytes:], castagnoli) }

func headSum(value, key []byte, filled uint32) uint32 {
	sum := crc32.Update(filled, castagnoli, value[4:MinRecordBytes])
	if len(key) > 0 {
		sum = crc32.Update(sum, castagnoli, key)
	}
	return sum
}

const keyBytes = 12

// appendKey appends the n-th key: keyBytes long, for n below 10^8.
func appendKey(b []byte, n int) []byte {
	b = append(b, "key-00000000"...)
	for i := len(b) - 1; n > 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}

// words compress as a log of events does.
var words = []string{
	`{"event":"`, `order`, `payment`, `"user":"`, `customer_`, `","amount":`, `"status":"`, `created`, `shipped`, `failed`,
	`"currency":"EUR"`,
	`,"at":"2026-`, `T12:`, `00Z"`, `}`, `"items":[`, `]`, `"sku":"`, `"quantity":`, `","country":"DE"`, `null`, `true`, `"trace":"`,
}

// fill fills b with bytes that do not compress, or with text that does.
func fill(b []byte, rng *rand.Rand, text bool) {
	for n := 0; n < len(b); {
		if !text || rng.IntN(3) == 0 { // what differs between events
			var random [4]byte
			binary.LittleEndian.PutUint32(random[:], rng.Uint32())
			if text {
				for i := range random {
					random[i] = '0' + random[i]%10
				}
			}
			n += copy(b[n:], random[:])
			continue
		}
		n += copy(b[n:], words[rng.IntN(len(words))])
	}
}
