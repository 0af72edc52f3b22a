package replication

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/quirelog/quire/segment/fuzz"
)

// mendVote makes the checksum of a vote right.
func mendVote(b []byte) {
	if len(b) >= 4 {
		body := b[:len(b)-4]
		binary.BigEndian.PutUint32(b[len(body):], crc32.Checksum(body, castagnoli))
	}
}

func TestDamagedState(t *testing.T) {
	s := checkpointState{configIndex: 9, config: bootstrapConfiguration([]ServerID{"1-a", "2-b"}), machine: []byte("state")}
	for name, g := range map[string]fuzz.Target{
		"vote": {Runs: 30_000, Seeds: [][]byte{goldenVote.encode()}, Mend: mendVote,
			Do: func(t testing.TB, b []byte) { checkVote(t, voteKey(testGroup), b) }},
		"checkpoint": {Runs: 30_000, Seeds: [][]byte{s.encode()}, Do: checkState},
	} {
		t.Run(name, g.Run)
	}
}
