package broker

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestFieldsThatMakeNoSense keeps what the comparison with Apache Kafka found (interop/referee_forms_test.go).
func TestFieldsThatMakeNoSense(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	topic := makeTopic(t, b, "t", 2)
	c := newTestClient(t, b)

	if got := c.do(listNegativeEpoch()).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]; got.ErrorCode != 74 {
		t.Errorf("list at a negative epoch: %+v", got)
	}
	byID := metadataRequest(11, "t")
	byID.Topics[0].TopicID = topic.ID
	if got := c.do(byID).(*kmsg.MetadataResponse).Topics; len(got) != 1 || got[0].ErrorCode != 42 {
		t.Errorf("metadata 11 by id: %+v", got)
	}

	described := kmsg.NewPtrDescribeTopicPartitionsRequest()
	described.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: "t"}}
	described.ResponsePartitionLimit = 0
	if got := c.do(described).(*kmsg.DescribeTopicPartitionsResponse); len(got.Topics[0].Partitions) != 1 || got.NextCursor == nil {
		t.Errorf("limit 0: %+v", got)
	}
	described.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: "t", Partition: -1}
	if got := c.do(described).(*kmsg.DescribeTopicPartitionsResponse).Topics; len(got) != 1 || got[0].ErrorCode != 42 {
		t.Errorf("negative cursor: %+v", got)
	}

	for name, value := range map[string]*string{"t": nil, "": kmsg.StringPtr("1048576")} {
		r := kmsg.NewPtrAlterConfigsRequest()
		r.Version = 2
		r.Resources = []kmsg.AlterConfigsRequestResource{{
			ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: name,
			Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: "segment.bytes", Value: value}},
		}}
		if got := c.do(r).(*kmsg.AlterConfigsResponse).Resources; len(got) != 1 || got[0].ErrorCode != 42 {
			t.Errorf("alter topic %q: %+v", name, got)
		}
	}
}

func listNegativeEpoch() *kmsg.ListOffsetsRequest {
	r := listRequest(11, "t", 0, -1)
	r.Topics[0].Partitions[0].CurrentLeaderEpoch = -5
	return r
}
