package interop

import "github.com/twmb/franz-go/pkg/kmsg"

func fetch(change func(p *peer, r *kmsg.FetchRequest)) request {
	return func(p *peer) kmsg.Request {
		req := kmsg.NewPtrFetchRequest()
		req.SetVersion(13)
		req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 100, 1, 1<<20, -1
		rt, rp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
		rt.TopicID, rp.PartitionMaxBytes, rp.CurrentLeaderEpoch = p.id, 1<<20, -1
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		change(p, req)
		return req
	}
}

func listOffsets(change func(r *kmsg.ListOffsetsRequest, rp *kmsg.ListOffsetsRequestTopicPartition)) request {
	return func(p *peer) kmsg.Request {
		req := kmsg.NewPtrListOffsetsRequest()
		req.SetVersion(7)
		req.ReplicaID = -1
		rt, rp := kmsg.NewListOffsetsRequestTopic(), kmsg.NewListOffsetsRequestTopicPartition()
		rt.Topic, rp.Timestamp, rp.CurrentLeaderEpoch = "odd", -1, -1
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		change(req, &req.Topics[0].Partitions[0])
		return req
	}
}

func endOfEpoch(topic string, partition, current, epoch int32) request {
	return func(p *peer) kmsg.Request {
		req := kmsg.NewPtrOffsetForLeaderEpochRequest()
		req.SetVersion(4)
		req.ReplicaID = -1
		rt, rp := kmsg.NewOffsetForLeaderEpochRequestTopic(), kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		rt.Topic, rp.Partition, rp.CurrentLeaderEpoch, rp.LeaderEpoch = topic, partition, current, epoch
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		return req
	}
}

func readCases() []refereeCase {
	from := func(offset int64) func(*peer, *kmsg.FetchRequest) {
		return func(_ *peer, r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].FetchOffset = offset }
	}
	lp := func(change func(rp *kmsg.ListOffsetsRequestTopicPartition)) request {
		return listOffsets(func(_ *kmsg.ListOffsetsRequest, rp *kmsg.ListOffsetsRequestTopicPartition) { change(rp) })
	}
	return append(sessionCases(),
		one("fetch from the start", fetch(from(0))),
		one("fetch past the end", fetch(from(10_000))),
		one("fetch negative offset", fetch(from(-7))),
		one("fetch unknown id", fetch(func(_ *peer, r *kmsg.FetchRequest) { r.Topics[0].TopicID = [16]byte{9} })),
		one("fetch unknown partition", fetch(func(_ *peer, r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].Partition = 44 })),
		one("fetch newer leader epoch", fetch(func(_ *peer, r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].CurrentLeaderEpoch = 1 << 20 })),
		one("fetch unknown name", fetch(func(_ *peer, r *kmsg.FetchRequest) {
			r.SetVersion(12)
			r.Topics[0].Topic = "nowhere"
		})),
		one("list latest", lp(func(*kmsg.ListOffsetsRequestTopicPartition) {})),
		one("list earliest", lp(func(rp *kmsg.ListOffsetsRequestTopicPartition) { rp.Timestamp = -2 })),
		one("list max timestamp", lp(func(rp *kmsg.ListOffsetsRequestTopicPartition) { rp.Timestamp = -3 })),
		one("list after all", lp(func(rp *kmsg.ListOffsetsRequestTopicPartition) { rp.Timestamp = 1 << 60 })),
		one("list before all", lp(func(rp *kmsg.ListOffsetsRequestTopicPartition) { rp.Timestamp = 1 })),
		one("list unknown timestamp code", lp(func(rp *kmsg.ListOffsetsRequestTopicPartition) { rp.Timestamp = -99 })),
		one("list unknown partition", lp(func(rp *kmsg.ListOffsetsRequestTopicPartition) { rp.Partition = 44 })),
		one("list unknown topic", listOffsets(func(r *kmsg.ListOffsetsRequest, _ *kmsg.ListOffsetsRequestTopicPartition) {
			r.Topics[0].Topic = "nowhere"
		})),
		one("list newer leader epoch", lp(func(rp *kmsg.ListOffsetsRequestTopicPartition) { rp.CurrentLeaderEpoch = 1 << 20 })),
		one("epoch end of the future", endOfEpoch("odd", 0, -1, 1<<20)),
		one("epoch end, newer current", endOfEpoch("odd", 0, 1<<20, 0)),
		one("epoch end, unknown topic", endOfEpoch("nowhere", 0, -1, 0)),
		one("epoch end, unknown partition", endOfEpoch("odd", 44, -1, 0)),
	)
}

func sessionCases() []refereeCase {
	session := func(id func(*peer) int32, epoch int32, full bool) step {
		return send(fetch(func(p *peer, r *kmsg.FetchRequest) {
			r.SessionID, r.SessionEpoch = id(p), epoch
			if !full {
				r.Topics = nil
			}
		}))
	}
	none := func(*peer) int32 { return 0 }
	mine := func(p *peer) int32 { return p.sessions }
	return []refereeCase{
		{"session made, used, nothing new", []step{session(none, 0, true), session(mine, 1, false), session(mine, 2, false)}},
		{"session epoch skipped", []step{session(none, 0, true), session(mine, 5, false)}},
		{"session unknown", []step{session(func(*peer) int32 { return 123456 }, 1, false)}},
		{"session closed", []step{session(none, 0, true), session(mine, -1, true), session(mine, 1, false)}},
	}
}
