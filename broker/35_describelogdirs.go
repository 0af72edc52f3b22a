package broker

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"

	"github.com/quirelog/quire/partition"
	"github.com/quirelog/quire/segment/vfs"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeLogDirs (35), versions 0 to 5 (KIP-113). 1: throttling. 2: flexible. 3: an error for the whole. 4: size and free
// space of the file system (KIP-827). 5: cordoned directories (KIP-1066); none is here.

func startDescribeLogDirs(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.DescribeLogDirsRequest)
	return func(context.Context) reply {
		resp := req.ResponseKind().(*kmsg.DescribeLogDirsResponse)
		dir := kmsg.NewDescribeLogDirsResponseDir()
		dir.Dir, dir.TotalBytes, dir.UsableBytes = b.logDir(), -1, -1
		if free, total, err := vfs.OS.Free(b.cfg.DataDir); err == nil {
			dir.TotalBytes, dir.UsableBytes = int64(total), int64(free)
		}
		dir.Topics = describeSizes(b.partitions.All(), wantedPartitions(req))
		resp.Dirs = append(resp.Dirs, dir)
		return reply{msg: resp}
	}
}

// logDir is the data directory as Kafka's tools name it.
func (b *Broker) logDir() string {
	dir, err := filepath.Abs(b.cfg.DataDir)
	if err != nil { // the working directory is gone
		return b.cfg.DataDir
	}
	return dir
}

// topicPartition names a partition by topic name.
type topicPartition struct {
	topic     string
	partition int32
}

// wantedPartitions are those that a request names; nil where it asks for all.
func wantedPartitions(req *kmsg.DescribeLogDirsRequest) map[topicPartition]bool {
	if req.Topics == nil {
		return nil
	}
	wanted := map[topicPartition]bool{}
	for _, t := range req.Topics {
		for _, n := range t.Partitions {
			wanted[topicPartition{t.Topic, n}] = true
		}
	}
	return wanted
}

// describeSizes lists the bytes of partitions by topic. The offset lag is that of a replica that is being moved between
// directories: 0.
func describeSizes(all []*partition.Partition, wanted map[topicPartition]bool) []kmsg.DescribeLogDirsResponseDirTopic {
	slices.SortFunc(all, func(a, b *partition.Partition) int {
		return cmp.Or(cmp.Compare(a.Topic(), b.Topic()), cmp.Compare(a.ID().Partition, b.ID().Partition))
	})
	var topics []kmsg.DescribeLogDirsResponseDirTopic
	for _, p := range all {
		if wanted != nil && !wanted[topicPartition{p.Topic(), p.ID().Partition}] {
			continue
		}
		if len(topics) == 0 || topics[len(topics)-1].Topic != p.Topic() {
			rt := kmsg.NewDescribeLogDirsResponseDirTopic()
			rt.Topic = p.Topic()
			topics = append(topics, rt)
		}
		rp := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		rp.Partition, rp.Size = p.ID().Partition, p.Size()
		rt := &topics[len(topics)-1]
		rt.Partitions = append(rt.Partitions, rp)
	}
	return topics
}
