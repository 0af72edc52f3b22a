package interop

import "github.com/twmb/franz-go/pkg/kmsg"

func deleteRecords(topic string, partition int32, before int64) request {
	return func(*peer) kmsg.Request {
		req := kmsg.NewPtrDeleteRecordsRequest()
		req.SetVersion(2)
		req.TimeoutMillis = 5000
		rt, rp := kmsg.NewDeleteRecordsRequestTopic(), kmsg.NewDeleteRecordsRequestTopicPartition()
		rt.Topic, rp.Partition, rp.Offset = topic, partition, before
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		return req
	}
}

// trimCases delete records of the topic odd, partition 0. Left out: the largest timestamp after all records were deleted, for which Kafka
// names a record that is gone, and Quire none.
func trimCases() []refereeCase {
	after := func(name string, before int64, r request) refereeCase {
		return refereeCase{"delete records, then " + name, []step{send(deleteRecords("odd", 0, before)), send(r)}}
	}
	list := func(timestamp int64) request {
		return listOffsets(func(_ *kmsg.ListOffsetsRequest, rp *kmsg.ListOffsetsRequestTopicPartition) { rp.Timestamp = timestamp })
	}
	from := func(offset int64) request {
		return fetch(func(_ *peer, r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].FetchOffset = offset })
	}
	return []refereeCase{
		one("delete records before 0", deleteRecords("odd", 0, 0)),
		one("delete records past the end", deleteRecords("odd", 0, 10_000)),
		one("delete records at a negative offset", deleteRecords("odd", 0, -2)),
		one("delete records of an unknown partition", deleteRecords("odd", 44, 0)),
		one("delete records of a negative partition", deleteRecords("odd", -1, 0)),
		one("delete records of an unknown topic", deleteRecords("nowhere", 0, 0)),
		one("delete records of a topic that cannot be", deleteRecords("a/b", 0, 0)),
		one("delete records before 1", deleteRecords("odd", 0, 1)),
		one("delete records before what is gone", deleteRecords("odd", 0, 0)),
		one("delete records at version 0", at(0, deleteRecords("odd", 0, 1))),
		after("list the earliest", 2, list(-2)),
		after("list by timestamp", 2, list(1)),
		after("fetch what is gone", 2, from(1)),
		one("delete all records", deleteRecords("odd", 0, -1)),
		after("list the earliest of nothing", -1, list(-2)),
		after("list nothing by timestamp", -1, list(1)),
		after("fetch what is gone, to the end", -1, from(0)),
	}
}
