package broker

import "github.com/twmb/franz-go/pkg/kmsg"

// apis is the dispatch table: what is not in it is not advertised, and whoever sends it is disconnected.
func apis() []api {
	return []api{
		{kmsg.Produce, 0, 13, startProduce},
		{kmsg.Fetch, 4, 18, startFetch},
		{kmsg.ListOffsets, 0, 11, startListOffsets},
		{kmsg.Metadata, 0, 13, startMetadata},
		{kmsg.OffsetCommit, 2, 10, startOffsetCommit},
		{kmsg.OffsetFetch, 1, 10, startOffsetFetch},
		{kmsg.FindCoordinator, 0, 6, startFindCoordinator},
		{kmsg.JoinGroup, 0, 9, startJoinGroup},
		{kmsg.Heartbeat, 0, 4, startHeartbeat},
		{kmsg.LeaveGroup, 0, 5, startLeaveGroup},
		{kmsg.SyncGroup, 0, 5, startSyncGroup},
		{kmsg.DescribeGroups, 0, 6, startDescribeGroups},
		{kmsg.ListGroups, 0, 5, startListGroups},
		{kmsg.SASLHandshake, 0, 1, startSASLHandshake},
		{kmsg.ApiVersions, 0, 5, startApiVersions},
		{kmsg.CreateTopics, 0, 7, startCreateTopics},
		{kmsg.DeleteTopics, 0, 6, startDeleteTopics},
		{kmsg.DeleteRecords, 0, 2, startDeleteRecords},
		{kmsg.InitProducerID, 0, 5, startInitProducerID},
		{kmsg.OffsetForLeaderEpoch, 0, 4, startOffsetForLeaderEpoch},
		{kmsg.DescribeConfigs, 0, 4, startDescribeConfigs},
		{kmsg.AlterConfigs, 0, 2, startAlterConfigs},
		{kmsg.AlterReplicaLogDirs, 0, 2, startAlterReplicaLogDirs},
		{kmsg.DescribeLogDirs, 0, 5, startDescribeLogDirs},
		{kmsg.SASLAuthenticate, 0, 2, startSASLAuthenticate},
		{kmsg.CreatePartitions, 0, 3, startCreatePartitions},
		{kmsg.DeleteGroups, 0, 3, startDeleteGroups},
		{kmsg.ElectLeaders, 0, 2, startElectLeaders},
		{kmsg.IncrementalAlterConfigs, 0, 1, startIncrementalAlterConfigs},
		{kmsg.AlterPartitionAssignments, 0, 1, startAlterPartitionReassignments},
		{kmsg.ListPartitionReassignments, 0, 0, startListPartitionReassignments},
		{kmsg.OffsetDelete, 0, 0, startOffsetDelete},
		{kmsg.DescribeQuorum, 0, 2, startDescribeQuorum},
		{kmsg.UpdateFeatures, 0, 2, startUpdateFeatures},
		{kmsg.DescribeCluster, 0, 2, startDescribeCluster},
		{kmsg.DescribeProducers, 0, 0, startDescribeProducers},
		{kmsg.UnregisterBroker, 0, 0, startUnregisterBroker},
		{kmsg.ConsumerGroupHeartbeat, 0, 1, startConsumerGroupHeartbeat},
		{kmsg.ConsumerGroupDescribe, 0, 1, startConsumerGroupDescribe},
		{kmsg.ListConfigResources, 0, 1, startListConfigResources},
		{kmsg.DescribeTopicPartitions, 0, 0, startDescribeTopicPartitions},
	}
}

// maxKey is the largest request key that the table can hold.
const maxKey = 127

// dispatch finds the row of a request key. It never changes once it is built.
type dispatch struct {
	rows  []api
	byKey [maxKey + 1]*route
}

// route is a row with what is resolved once: its metrics.
type route struct {
	api
	metrics requestMetrics
}

func newDispatch(rows []api, m *metrics) *dispatch {
	d := &dispatch{rows: rows}
	for _, row := range rows {
		d.byKey[row.key] = &route{api: row, metrics: m.request(row.key.Name())}
	}
	return d
}

// find returns the route of a key; nil if the table has none.
func (d *dispatch) find(key int16) *route {
	if key < 0 || key > maxKey {
		return nil
	}
	return d.byKey[key]
}
