package interop

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"

	"github.com/quirelog/quire/interop/chaos"
)

// compareReplicas ends the brokers, all level, and compares what each has of a topic's partitions on its disk, byte by byte: the same batches at the same offsets of the
// same leader epochs, with the checksums that they say, up to the end that was read.
func (c *cluster) compareReplicas(topic string, stored map[int32][]chaos.Stored) {
	c.t.Helper()
	for _, b := range c.brokers {
		if err := b.stop(); err != nil {
			c.t.Error(err)
		}
		b.cmd = nil
	}
	batches, size := 0, 0
	for p, values := range stored {
		var first []byte
		for _, b := range c.brokers {
			log, err := readLog(filepath.Join(b.dir, fmt.Sprintf("%s-%d", topic, p)))
			if err != nil {
				c.t.Fatal(err)
			}
			if c.t.Failed() {
				if err := os.WriteFile(filepath.Join(c.t.ArtifactDir(), fmt.Sprintf("broker-%d-%s-%d.log", b.id, topic, p)), log, 0o600); err != nil {
					c.t.Error(err)
				}
			}
			n, end, err := checkBatches(log)
			if err != nil || end != int64(len(values)) {
				c.t.Errorf("broker %d, partition %d: %d batches up to offset %d, %d records were read: %v", b.id, p, n, end, len(values), err)
			}
			if first == nil {
				first = log
			}
			if !bytes.Equal(log, first) {
				c.t.Errorf("partition %d of broker %d is not that of broker %d: they differ at byte %d of %d and %d", p, b.id, c.brokers[0].id, differAt(log, first), len(log), len(first))
			}
			batches, size = batches+n, size+len(log)
		}
	}
	c.t.Logf("the replicas of %d partitions are the same: %d batches, %d bytes on all brokers", len(stored), batches, size)
}

// readLog is all segments of a partition, one after the other.
func readLog(dir string) (log []byte, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files) // by base offset
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		log = append(log, b...)
	}
	return log, nil
}

// checkBatches counts the batches of a log and returns the offset behind the last one; the error is the first that is not what it says.
func checkBatches(log []byte) (n int, end int64, err error) {
	for ; len(log) > 0; n++ {
		if len(log) < batchHead || len(log) < 12+int(binary.BigEndian.Uint32(log[8:])) {
			return n, end, fmt.Errorf("batch %d, at offset %d, is cut off", n, end)
		}
		b := log[:12+binary.BigEndian.Uint32(log[8:])]
		if base := int64(binary.BigEndian.Uint64(b)); base != end {
			return n, end, fmt.Errorf("batch %d begins at offset %d, want %d", n, base, end)
		}
		if got := crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)); got != binary.BigEndian.Uint32(b[17:]) {
			return n, end, fmt.Errorf("batch %d, at offset %d, has another checksum than it says", n, end)
		}
		end += int64(binary.BigEndian.Uint32(b[23:])) + 1
		log = log[len(b):]
	}
	return n, end, nil
}

// differAt is the first byte at which two logs differ.
func differAt(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}
