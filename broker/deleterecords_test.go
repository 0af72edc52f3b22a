package broker

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestDeleteRecords(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.RetentionCheck = 20 * time.Millisecond
	b := startBroker(t, cfg)
	makeTopic(t, b, "t", 1)
	c := newTestClient(t, b)
	p := b.partitions.Get("t", 0)
	c.mustProduce("t", 0, testBatch(t, 5))
	for _, w := range []struct {
		topic       string
		partition   int32
		before, low int64
		code        int16
	}{
		{"t", 0, 3, 3, 0}, {"t", 0, 1, 3, 0}, {"t", 0, 6, -1, 1}, {"t", 0, -2, -1, 1}, {"t", 7, 0, -1, 3}, {"no", 0, 0, -1, 3},
		{"t", 0, -1, 5, 0},
	} {
		r := kmsg.NewPtrDeleteRecordsRequest()
		r.Version, r.TimeoutMillis = 2, waiting
		rt, rp := kmsg.NewDeleteRecordsRequestTopic(), kmsg.NewDeleteRecordsRequestTopicPartition()
		rp.Partition, rp.Offset = w.partition, w.before
		rt.Topic, rt.Partitions = w.topic, append(rt.Partitions, rp)
		r.Topics = append(r.Topics, rt)
		got := c.do(r).(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0]
		if got.LowWatermark != w.low || got.ErrorCode != w.code {
			t.Errorf("%+v: %+v", w, got)
		}
	}
	waitFor(t, "the files to go", func() bool { return p.Size() == 0 })
}
