package fuzz

import (
	"encoding/binary"
	"hash/crc32"
)

// Bomb is a record batch whose one record has a value of zeros of about plain bytes, in zstd blocks of 4 bytes that stand for
// 128 KiB each: it grows to some 30,000 times its size. It is valid in all but its size.
func Bomb(plain int) []byte {
	const block, zstd, header = 128 << 10, 4, 61
	blocks := plain / block
	value := binary.AppendVarint(nil, int64(blocks*block-1)) // the last zero is the count of headers
	record := append(append(binary.AppendVarint(nil, int64(4+len(value)+blocks*block)), 0, 0, 0, 1), value...)
	blockHeader := func(kind, size int) []byte { return []byte{byte(size<<3 | kind<<1), byte(size >> 5), byte(size >> 13)} }

	b := make([]byte, header)
	b = append(b, 0x28, 0xb5, 0x2f, 0xfd, 0, 0x58) // a window of 2 MiB
	b = append(append(b, blockHeader(0, len(record))...), record...)
	for range blocks {
		b = append(append(b, blockHeader(1, block)...), 0)
	}
	b = append(b, blockHeader(0, 0)...)
	b[len(b)-3] |= 1 // the last block

	be := binary.BigEndian
	be.PutUint32(b[8:], uint32(len(b)-12))
	b[16] = 2 // magic
	b[22] = zstd
	for _, at := range []int{43, 51} { // no producer
		be.PutUint64(b[at:], 1<<64-1)
	}
	be.PutUint32(b[53:], 1<<32-1)
	be.PutUint32(b[57:], 1)
	be.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}
