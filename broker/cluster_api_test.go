package broker

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/quirelog/quire/partition"
	"github.com/quirelog/quire/replication/controller"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// clusterCase is a request and the codes of its answer, outermost first.
type clusterCase struct {
	name string
	req  kmsg.Request
	want []int16
}

func electRequest(kind int8, topic string, partitions ...int32) *kmsg.ElectLeadersRequest {
	r := kmsg.NewPtrElectLeadersRequest()
	r.Version, r.ElectionType = 2, kind
	rt := kmsg.NewElectLeadersRequestTopic()
	rt.Topic, rt.Partitions = topic, partitions
	r.Topics = append(r.Topics, rt)
	return r
}

func reassignRequest(topic string, n int32, replicas []int32) *kmsg.AlterPartitionAssignmentsRequest {
	r := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	r.Version = 1
	rt, rp := kmsg.NewAlterPartitionAssignmentsRequestTopic(), kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
	rp.Partition, rp.Replicas = n, replicas
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
	r.Topics = append(r.Topics, rt)
	return r
}

func moveDirRequest(dir, topic string, partitions ...int32) *kmsg.AlterReplicaLogDirsRequest {
	r := kmsg.NewPtrAlterReplicaLogDirsRequest()
	r.Version = 2
	rd, rt := kmsg.NewAlterReplicaLogDirsRequestDir(), kmsg.NewAlterReplicaLogDirsRequestDirTopic()
	rt.Topic, rt.Partitions = topic, partitions
	rd.Dir, rd.Topics = dir, append(rd.Topics, rt)
	r.Dirs = append(r.Dirs, rd)
	return r
}

func featureRequest(version int16, features ...string) *kmsg.UpdateFeaturesRequest {
	r := kmsg.NewPtrUpdateFeaturesRequest()
	r.Version = version
	for _, name := range features {
		u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
		u.Feature, u.MaxVersionLevel, u.UpgradeType = name, 1, 1
		r.FeatureUpdates = append(r.FeatureUpdates, u)
	}
	return r
}

// codes lists the error codes of a response.
func codes(resp kmsg.Response) []int16 {
	var c []int16
	switch r := resp.(type) {
	case *kmsg.SASLHandshakeResponse:
		c = append(c, r.ErrorCode)
	case *kmsg.SASLAuthenticateResponse:
		c = append(c, r.ErrorCode)
	case *kmsg.UpdateFeaturesResponse:
		c = append(c, r.ErrorCode)
	case *kmsg.ListPartitionReassignmentsResponse:
		c = append(c, r.ErrorCode, int16(len(r.Topics)))
	case *kmsg.ElectLeadersResponse:
		c = append(c, r.ErrorCode)
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				c = append(c, p.ErrorCode)
			}
		}
	case *kmsg.AlterPartitionAssignmentsResponse:
		c = append(c, r.ErrorCode)
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				c = append(c, p.ErrorCode)
			}
		}
	case *kmsg.AlterReplicaLogDirsResponse:
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				c = append(c, p.ErrorCode)
			}
		}
	default:
		panic(fmt.Sprintf("%T", resp))
	}
	return c
}

// TestOneBrokerAnswers wants what Apache Kafka's only broker answers.
func TestOneBrokerAnswers(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, testConfig(dir))
	makeTopic(t, b, "t", 2)
	c := newTestClient(t, b)
	everything := kmsg.NewPtrElectLeadersRequest()
	everything.Topics = nil
	nothing := kmsg.NewPtrElectLeadersRequest()
	nothing.ElectionType, nothing.Version, nothing.Topics = 9, 2, []kmsg.ElectLeadersRequestTopic{}
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Mechanism = "PLAIN"
	for _, tt := range []clusterCase{
		{"handshake without SASL", handshake, []int16{34}},
		{"authentication without SASL", kmsg.NewPtrSASLAuthenticateRequest(), []int16{34}},
		{"election: preferred leads", electRequest(0, "t", 0, 1, 7), []int16{0, 84, 84, 3}},
		{"election: unclean", electRequest(1, "t", 0), []int16{0, 84}},
		{"election: unknown topic", electRequest(0, "none", 0), []int16{0, 3}},
		{"election: unknown type", electRequest(9, "t", 0), []int16{42, 42}},
		{"election: of all", everything, []int16{0}},
		{"election: of nothing", nothing, []int16{0}},
		{"reassign: as it is", reassignRequest("t", 0, []int32{1}), []int16{0, 0}},
		{"reassign: cancel", reassignRequest("t", 0, nil), []int16{0, 85}},
		{"reassign: to nobody", reassignRequest("t", 0, []int32{}), []int16{0, 39}},
		{"reassign: unknown broker", reassignRequest("t", 0, []int32{1, 9}), []int16{0, 39}},
		{"reassign: twice", reassignRequest("t", 0, []int32{1, 1}), []int16{0, 39}},
		{"reassign: unknown partition", reassignRequest("t", 7, nil), []int16{0, 3}},
		{"reassign: unknown topic", reassignRequest("none", 0, []int32{1}), []int16{0, 3}},
		{"reassignments", kmsg.NewPtrListPartitionReassignmentsRequest(), []int16{0, 0}},
		{"move: where it is", moveDirRequest(dir, "t", 0, 7), []int16{0, 3}},
		{"move: elsewhere", moveDirRequest(filepath.Join(dir, "x"), "t", 0), []int16{57}},
		{"features: none", featureRequest(2), []int16{0}},
		{"features: unknown", featureRequest(2, "metadata.version"), []int16{95}},
		{"features: version 0", featureRequest(0, "a", "b"), []int16{95}},
	} {
		if got := codes(c.do(tt.req)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: codes %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestElectionWithoutLeader asks for partitions that nobody leads.
func TestElectionWithoutLeader(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	topic := makeTopic(t, b, "t", 1)
	if err := b.partitions.Delete(testContext(t), partition.ID{Topic: topic.ID}); err != nil {
		t.Fatal(err)
	}
	c := newTestClient(t, b)
	for kind, want := range []int16{80, 83} {
		if got := codes(c.do(electRequest(int8(kind), "t", 0))); !slices.Equal(got, []int16{0, want}) {
			t.Errorf("type %d: codes %v", kind, got)
		}
	}
}

func TestDescribeLogDirs(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, testConfig(dir))
	makeTopic(t, b, "one", 2)
	makeTopic(t, b, "two", 1)
	c := newTestClient(t, b)
	raw := testBatch(t, 3)
	c.mustProduce("one", 1, raw)
	one := kmsg.NewDescribeLogDirsRequestTopic()
	one.Topic, one.Partitions = "one", []int32{1, 7}
	none := kmsg.NewDescribeLogDirsRequestTopic()
	none.Topic, none.Partitions = "none", []int32{0}
	for _, tt := range []struct {
		name   string
		topics []kmsg.DescribeLogDirsRequestTopic
		want   string
	}{
		{"all", nil, fmt.Sprintf("one-0:0 one-1:%d two-0:0 ", len(raw))},
		{"some", []kmsg.DescribeLogDirsRequestTopic{one, none}, fmt.Sprintf("one-1:%d ", len(raw))},
		{"none", []kmsg.DescribeLogDirsRequestTopic{}, ""},
	} {
		r := kmsg.NewPtrDescribeLogDirsRequest()
		r.Version, r.Topics = 5, tt.topics
		resp := c.do(r).(*kmsg.DescribeLogDirsResponse)
		if len(resp.Dirs) != 1 || resp.ErrorCode != 0 {
			t.Fatalf("%s: %+v", tt.name, resp)
		}
		d, got := resp.Dirs[0], ""
		for _, rt := range d.Topics {
			for _, rp := range rt.Partitions {
				got += fmt.Sprintf("%s-%d:%d ", rt.Topic, rp.Partition, rp.Size)
				if rp.OffsetLag != 0 || rp.IsFuture {
					t.Errorf("%s: %+v", tt.name, rp)
				}
			}
		}
		if got != tt.want || d.Dir != dir || d.ErrorCode != 0 || d.TotalBytes < d.UsableBytes || d.UsableBytes <= 0 {
			t.Errorf("%s: %q of %+v", tt.name, got, d)
		}
	}
}

// idempotentBatch is testBatch as a producer's batch.
func idempotentBatch(t *testing.T, producer int64, epoch int16, sequence int32, n int) []byte {
	raw := testBatch(t, n)
	binary.BigEndian.PutUint64(raw[43:], uint64(producer))
	binary.BigEndian.PutUint16(raw[51:], uint16(epoch))
	binary.BigEndian.PutUint32(raw[53:], uint32(sequence))
	return fixCRC(raw)
}

func TestDescribeProducers(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	makeTopic(t, b, "t", 2)
	c := newTestClient(t, b)
	c.mustProduce("t", 1, idempotentBatch(t, 77, 5, 0, 3))
	r := kmsg.NewPtrDescribeProducersRequest()
	for _, name := range []string{"t", "none", "b ad"} {
		rt := kmsg.NewDescribeProducersRequestTopic()
		rt.Topic, rt.Partitions = name, []int32{0, 1, 7}
		r.Topics = append(r.Topics, rt)
	}
	got := c.do(r).(*kmsg.DescribeProducersResponse).Topics
	var answered []int16
	for _, rt := range got {
		for _, rp := range rt.Partitions {
			answered = append(answered, rp.ErrorCode)
		}
	}
	if !slices.Equal(answered, []int16{0, 0, 3, 3, 3, 3, 17, 17, 17}) {
		t.Fatalf("codes %v", answered)
	}
	p := got[0].Partitions[1].ActiveProducers
	if len(p) != 1 || p[0].ProducerID != 77 || p[0].ProducerEpoch != 5 || p[0].LastSequence != 2 || p[0].LastTimestamp != 1002 ||
		p[0].CurrentTxnStartOffset != -1 || len(got[0].Partitions[0].ActiveProducers) != 0 {
		t.Errorf("producers %+v", got[0].Partitions)
	}
}

func TestListConfigResources(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	makeTopic(t, b, "two", 1)
	makeTopic(t, b, "one", 1)
	c := newTestClient(t, b)
	for _, tt := range []struct {
		version int16
		types   []int8
		code    int16
		want    string
	}{
		{0, nil, 0, ""},
		{1, nil, 0, "2:one 2:two 4:1 "},
		{1, []int8{2}, 0, "2:one 2:two "},
		{1, []int8{4, 8, 16, 32}, 0, "4:1 "},
		{1, []int8{2, 99}, 35, ""},
	} {
		r := kmsg.NewPtrListConfigResourcesRequest()
		r.Version, r.ResourceTypes = tt.version, tt.types
		resp := c.do(r).(*kmsg.ListConfigResourcesResponse)
		got := ""
		for _, rc := range resp.ConfigResources {
			got += fmt.Sprintf("%d:%s ", rc.Type, rc.Name)
		}
		if got != tt.want || resp.ErrorCode != tt.code {
			t.Errorf("version %d, types %v: code %d, %q", tt.version, tt.types, resp.ErrorCode, got)
		}
	}
}

func TestDescribeQuorum(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	c := newTestClient(t, b)
	ask := func(topic string, partitions ...int32) *kmsg.DescribeQuorumResponse {
		r := kmsg.NewPtrDescribeQuorumRequest()
		r.Version = 2
		rt := kmsg.NewDescribeQuorumRequestTopic()
		rt.Topic = topic
		for _, n := range partitions {
			rp := kmsg.NewDescribeQuorumRequestTopicPartition()
			rp.Partition = n
			rt.Partitions = append(rt.Partitions, rp)
		}
		r.Topics = append(r.Topics, rt)
		return c.do(r).(*kmsg.DescribeQuorumResponse)
	}
	before := ask(metadataTopic, 0).Topics[0].Partitions[0]
	makeTopic(t, b, "t", 1)
	resp := ask(metadataTopic, 0)
	p := resp.Topics[0].Partitions[0]
	var dir controller.TopicID
	if err := dir.UnmarshalText([]byte(b.controller.Image().Brokers[1].Incarnation)); err != nil {
		t.Fatal(err)
	}
	if p.ErrorCode != 0 || p.LeaderID != 1 || p.LeaderEpoch < 1 || p.HighWatermark <= before.HighWatermark ||
		len(p.CurrentVoters) != 1 || len(resp.Nodes) != 1 || resp.Nodes[0].NodeID != 1 {
		t.Fatalf("before %+v, then %+v", before, resp)
	}
	if v := p.CurrentVoters[0]; v.ReplicaID != 1 || v.ReplicaDirectoryID != dir || v.LogEndOffset < p.HighWatermark {
		t.Errorf("voter %+v", v)
	}
	for _, bad := range []*kmsg.DescribeQuorumResponse{ask("t", 0), ask(metadataTopic, 1), ask(metadataTopic, 0, 1)} {
		if p := bad.Topics[0].Partitions[0]; p.ErrorCode != 3 || len(p.CurrentVoters) != 0 {
			t.Errorf("%+v", bad)
		}
	}
}
