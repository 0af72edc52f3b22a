package broker

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/quirelog/quire/client"
	"github.com/quirelog/quire/partition"
	"github.com/quirelog/quire/segment/batch"
)

// appendEmpty appends a batch of n offsets without records, as compaction leaves one; producers may not send it.
func appendEmpty(t *testing.T, b *Broker, topic string, n int) {
	t.Helper()
	raw := append([]byte(nil), testBatch(t, n)[:61]...)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[57:], 0)
	h, err := batch.ParseHeader(fixCRC(raw))
	if err != nil {
		t.Fatal(err)
	}
	pending, err := b.partitions.Get(topic, 0).Append(testContext(t), raw, h, partition.AcksAll)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pending.Wait(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

// TestReplayEndsBehindEmptyBatches reads up to an end that lies behind batches without records, which clients skip in silence.
func TestReplayEndsBehindEmptyBatches(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	makeTopic(t, b, "t", 1)
	makeTopic(t, b, "nothing", 1)
	kafka := newTestClient(t, b)
	appendEmpty(t, b, "t", 2)
	kafka.mustProduce("t", 0, testBatch(t, 1))
	appendEmpty(t, b, "t", 3)
	kafka.mustProduce("t", 0, testBatch(t, 1))
	appendEmpty(t, b, "t", 1)
	appendEmpty(t, b, "t", 5)
	appendEmpty(t, b, "nothing", 4)
	c, err := client.New(client.Options{Brokers: []string{b.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for topic, want := range map[string]string{"t": "[2 6]", "nothing": "[]"} {
		for _, byTime := range []bool{false, true} {
			var got []int64
			for r, err := range c.Replay(testContext(t), topic, client.ReplayOptions{ByTime: byTime}) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, r.Offset)
			}
			if fmt.Sprint(got) != want {
				t.Errorf("%s, by time %v: read the offsets %v, want %s", topic, byTime, got, want)
			}
		}
	}
}
