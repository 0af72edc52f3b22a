package broker

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestFencedPartitionsAreTold opens a broker on a log that has lost its end and on a partition that cannot be opened at all.
func TestFencedPartitionsAreTold(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, testConfig(dir))
	makeTopic(t, b, "t", 3)
	c := newTestClient(t, b)
	for range 2 {
		c.mustProduce("t", 0, testBatch(t, 3))
	}
	if err := b.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "t-0", strings.Repeat("0", 20)+".log")
	info, err := os.Stat(log)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(log, info.Size()/2); err != nil {
		t.Fatal(err)
	}
	unopened := filepath.Join(dir, "t-1")
	if err := os.Rename(unopened, unopened+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(unopened, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	b = startBroker(t, testConfig(dir))
	c = newTestClient(t, b)
	parts := c.do(metadataRequest(12, "t")).(*kmsg.MetadataResponse).Topics[0].Partitions
	for n, want := range []struct {
		leader  int32
		code    int16
		isr     []int32
		offline []int32
	}{
		{1, 0, []int32{}, []int32{1}}, // what is left can be read
		{-1, 5, []int32{}, []int32{1}},
		{1, 0, []int32{1}, []int32{}},
	} {
		if p := parts[n]; p.Leader != want.leader || p.ErrorCode != want.code || !slices.Equal(p.ISR, want.isr) ||
			!slices.Equal(p.OfflineReplicas, want.offline) {
			t.Errorf("partition %d: %+v", n, p)
		}
	}
	r := kmsg.NewPtrDescribeTopicPartitionsRequest()
	described := c.do(r).(*kmsg.DescribeTopicPartitionsResponse).Topics[0].Partitions
	if !slices.Equal(described[0].OfflineReplicas, []int32{1}) || described[1].LeaderID != -1 {
		t.Errorf("described %+v", described)
	}
	if got := c.produce(produceRequest(12, "t", 0, testBatch(t, 1))); got.ErrorCode != 56 {
		t.Errorf("produce: code %d", got.ErrorCode)
	}
	if _, body := get(t, b, "/metrics"); !strings.Contains(body, "\nquire_storage_fenced_partitions 2\n") {
		t.Errorf("metrics:\n%s", body)
	}
}
