package broker

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quirelog/quire/broker/config"
	"github.com/quirelog/quire/partition"
	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/replication/controller"
	"github.com/quirelog/quire/segment/flush"
	"github.com/quirelog/quire/segment/vfs/crashfs"
)

// TestDeletionIsFinishedAfterAFailure has the disk refuse a removal half way through the deletion of a partition: what is left is
// removed by the next attempt, not only by the next start.
func TestDeletionIsFinishedAfterAFailure(t *testing.T) {
	disk := crashfs.New()
	if err := disk.MkdirAll("/data", 0o750); err != nil {
		t.Fatal(err)
	}
	c, err := controller.Open(t.Context(), controller.Options{Dir: t.TempDir(), Self: controller.Broker{ID: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	node, err := replication.OpenNode(replication.NodeOptions{Dir: t.TempDir(), Self: serverID(c.Image().Brokers[1])})
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	flusher := flush.New(flush.Options{FS: disk, Dir: "/data"})
	defer flusher.Close(context.Background())
	m, err := partition.NewManager(partition.Options{FS: disk, Dir: "/data", Node: node, Flusher: flusher})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close(context.Background())
	ctx, cancel := context.WithCancel(t.Context())
	r := newReconciler(serverID(c.Image().Brokers[1]), &views{cfg: config.Default()}, c, m, slog.New(slog.DiscardHandler))
	r.retry = 10 * time.Millisecond
	done := make(chan struct{})
	go func() { defer close(done); r.run(ctx) }()
	defer func() { cancel(); <-done }()

	topic, err := c.CreateTopic(ctx, controller.NewTopic{Name: "t", Partitions: []controller.Partition{{Replicas: []int32{1}}}})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the partition leads", func() bool {
		p := m.ByID(partition.ID{Topic: topic.ID})
		return p != nil && leads(p)
	})
	var refused atomic.Bool
	disk.SetHook(func(op crashfs.Op, name string) error {
		if op == crashfs.OpRemove && strings.Contains(name, ".deleted/") && refused.CompareAndSwap(false, true) {
			return errors.New("not now")
		}
		return nil
	})
	if err := c.DeleteTopic(ctx, topic.ID); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the directory is empty", func() bool {
		left, err := disk.ReadDir("/data")
		return refused.Load() && (err == nil && len(left) == 0 || errors.Is(err, fs.ErrNotExist))
	})
}

// leads says whether a partition is led here, and serves.
func leads(p *partition.Partition) bool {
	_, err := p.Marks(-1)
	return err == nil
}
