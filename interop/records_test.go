package interop

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// record is what a client produces. Header values and keys' order matter, so headers are a slice.
type record struct {
	key, value []byte // nil: null
	headers    []header
	timestamp  int64 // ms, or anyTime
}

type header struct {
	key   string
	value string
}

// anyTime leaves the timestamp to the client, and is not held against what is read.
const anyTime = -1

// stored is a record as a client read it back.
type stored struct {
	record
	partition int32
	offset    int64
}

// differs says how got is not want, or "".
func (want record) differs(got record) string {
	switch {
	case (want.key == nil) != (got.key == nil) || string(want.key) != string(got.key):
		return fmt.Sprintf("key %.40q, want %.40q", got.key, want.key)
	case (want.value == nil) != (got.value == nil) || string(want.value) != string(got.value):
		return fmt.Sprintf("value of %d bytes (null: %v), want %d (null: %v)", len(got.value), got.value == nil, len(want.value), want.value == nil)
	case !slices.Equal(want.headers, got.headers):
		return fmt.Sprintf("headers %v, want %v", got.headers, want.headers)
	case want.timestamp != anyTime && want.timestamp != got.timestamp:
		return fmt.Sprintf("timestamp %d, want %d", got.timestamp, want.timestamp)
	}
	return ""
}

const (
	recordCount = 10_000
	keyCount    = 1_000
	largeValue  = 900_000
	partitions  = 6
)

// textRecords are what kcat can send from a file of lines: printable, the same headers on all, no empty value (it means
// null there), no timestamps of its own. Every 97th is a tombstone, one is of 900 kB.
func textRecords(seed uint64) []record {
	rng := rand.New(rand.NewPCG(seed, 1))
	rs := make([]record, recordCount)
	for i := range rs {
		rs[i] = record{
			key:     []byte(fmt.Sprintf("key-%d", i%keyCount)),
			value:   []byte(fmt.Sprintf(`{"n":%d,"x":%q}`, i, strings.Repeat(fmt.Sprint(rng.Uint64()), 1+rng.IntN(6)))),
			headers: []header{{"run", "interop"}, {"lang", "any"}}, timestamp: anyTime,
		}
		if i%97 == 0 {
			rs[i].value = nil
		}
	}
	rs[recordCount/2].value = []byte(strings.Repeat("ninehundred", largeValue/11+1)[:largeValue])
	return rs
}

// binaryRecords add what only programs can send: arbitrary bytes, empty keys and values, null keys, headers and a
// timestamp of each record's own.
func binaryRecords(seed uint64) []record {
	rng := rand.New(rand.NewPCG(seed, 2))
	rs := textRecords(seed)
	for i := range rs {
		r := &rs[i]
		r.timestamp = 1_700_000_000_000 + int64(i)
		r.headers = []header{{"n", fmt.Sprint(i)}, {"blob", string(randomBytes(rng, 9))}, {"empty", ""}}
		switch {
		case i%101 == 0:
			r.value = []byte{}
		case i%3 == 0 && i != recordCount/2:
			r.value = randomBytes(rng, 120)
		}
		switch i % 211 {
		case 1:
			r.key = nil
		case 2:
			r.key = []byte{}
		}
	}
	rng.Shuffle(largeValue, func(a, b int) { v := rs[recordCount/2].value; v[a], v[b] = v[b], v[a] })
	return rs
}

func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// murmur2 is Kafka's partitioner for records with a key (org.apache.kafka.common.utils.Utils.murmur2), written here from
// its definition so that no client's own code judges itself.
func murmur2(key []byte) int32 {
	const m, r = uint32(0x5bd1e995), 24
	h := uint32(0x9747b28c) ^ uint32(len(key))
	for ; len(key) >= 4; key = key[4:] {
		k := uint32(key[0]) | uint32(key[1])<<8 | uint32(key[2])<<16 | uint32(key[3])<<24
		k *= m
		k ^= k >> r
		k *= m
		h = h*m ^ k
	}
	switch len(key) {
	case 3:
		h ^= uint32(key[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(key[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(key[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return int32(h)
}
