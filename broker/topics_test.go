package broker

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/quirelog/quire/broker/placement"
	"github.com/quirelog/quire/broker/topicconfig"
	"github.com/quirelog/quire/replication/controller"
)

func testPlanner(brokers int) *planner {
	image := &controller.Image{Topics: map[string]*controller.Topic{}, Brokers: map[int32]controller.Broker{}}
	for id := range int32(brokers) {
		image.Brokers[id+1] = controller.Broker{ID: id + 1}
	}
	image.Topics["a.b"] = &controller.Topic{Name: "a.b", Partitions: []controller.Partition{{Replicas: []int32{1}}}}
	return &planner{image: image, partitions: 4, factor: 1, perBroker: 10}
}

func TestTopicNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "a.b_c-D9": true, "...": true, strings.Repeat("x", 249): true,
		"": false, ".": false, "..": false, "a b": false, "a/b": false, "ü": false, strings.Repeat("x", 250): false, "a\x00": false,
	} {
		if err := checkTopicName(name); (err == nil) != ok || (err != nil && !errors.Is(err, errInvalidTopic)) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestPlanRefusals(t *testing.T) {
	lists := func(replicas ...[]int32) []assignedReplicas {
		var as []assignedReplicas
		for i, r := range replicas {
			as = append(as, assignedReplicas{partition: int32(i), replicas: r})
		}
		return as
	}
	for _, c := range []struct {
		name string
		spec topicSpec
		want error
	}{
		{"bad name", topicSpec{name: "a b", partitions: 1, factor: 1}, errInvalidTopic},
		{"exists", topicSpec{name: "a.b", partitions: 1, factor: 1}, errTopicExists},
		{"collides", topicSpec{name: "a_b", partitions: 1, factor: 1}, errInvalidTopic},
		{"no partitions", topicSpec{name: "t", partitions: 0, factor: 1}, errInvalidPartitions},
		{"negative partitions", topicSpec{name: "t", partitions: -2, factor: 1}, errInvalidPartitions},
		{"no factor", topicSpec{name: "t", partitions: 1, factor: 0}, errInvalidFactor},
		{"factor above brokers", topicSpec{name: "t", partitions: 1, factor: 3}, errInvalidFactor},
		{"unknown key", topicSpec{name: "t", partitions: 1, factor: 1, configs: map[string]string{"x": ""}}, topicconfig.ErrInvalid},
		{"too many at once", topicSpec{name: "t", partitions: 1 << 30, factor: 1}, errInvalidPartitions},
		{"too many with the others", topicSpec{name: "t", partitions: 20, factor: 1}, errInvalidPartitions},
		{"count and assignment", topicSpec{name: "t", partitions: 1, factor: -1, assignment: lists([]int32{1})}, errInvalidRequest},
		{"factor and assignment", topicSpec{name: "t", partitions: -1, factor: 1, assignment: lists([]int32{1})}, errInvalidRequest},
		{"empty list", topicSpec{name: "t", partitions: -1, factor: -1, assignment: lists([]int32{1}, nil)}, errInvalidAssignment},
		{"twice", topicSpec{name: "t", partitions: -1, factor: -1, assignment: lists([]int32{1, 1})}, errInvalidAssignment},
		{"unknown broker", topicSpec{name: "t", partitions: -1, factor: -1, assignment: lists([]int32{9})}, errInvalidAssignment},
		{"uneven", topicSpec{name: "t", partitions: -1, factor: -1, assignment: lists([]int32{1}, []int32{1, 2})}, errInvalidAssignment},
		{
			"gap", topicSpec{name: "t", partitions: -1, factor: -1, assignment: []assignedReplicas{{1, []int32{1}}}},
			errInvalidAssignment,
		},
		{
			"same partition", topicSpec{name: "t", partitions: -1, factor: -1, assignment: []assignedReplicas{{0, []int32{1}}, {0, []int32{1}}}},
			errInvalidAssignment,
		},
	} {
		if _, err := testPlanner(2).plan(c.spec); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// TestPlacement sees that new partitions are placed by what the image holds and what was taken before; package placement tests how.
func TestPlacement(t *testing.T) {
	p := testPlanner(3) // the partition of a.b lies on broker 1
	for _, want := range []string{"[[2] [3]]", "[[1] [2]]"} {
		n, err := p.plan(topicSpec{name: "t", partitions: 2, factor: 1})
		if err != nil {
			t.Fatal(err)
		}
		p.take(n)
		if got := replicaLists(n.Partitions); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	have := &controller.Topic{Name: "g", Partitions: []controller.Partition{{Replicas: []int32{2}}, {Replicas: []int32{3}}}}
	if add, err := p.grow(have, 4, nil); err != nil || replicaLists(add) != "[[1] [3]]" {
		t.Errorf("grown by %v, %v", add, err)
	}
	p.alive = func(id placement.ServerID) bool { return id != "3-" }
	if add, err := p.grow(have, 4, nil); err != nil || replicaLists(add) != "[[1] [2]]" {
		t.Errorf("with broker 3 down grown by %v, %v", add, err)
	}
}

func replicaLists(parts []controller.Partition) string {
	var lists [][]int32
	for _, p := range parts {
		lists = append(lists, p.Replicas)
	}
	return fmt.Sprint(lists)
}

func TestPlanDefaults(t *testing.T) {
	got, err := testPlanner(1).plan(topicSpec{name: "t", partitions: -1, factor: -1})
	if err != nil || len(got.Partitions) != 4 || !reflect.DeepEqual(got.Partitions[0].Replicas, []int32{1}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestPlanSeesWhatWasTaken plans the topics of one request: each finds the room and the names that those before it have left.
func TestPlanSeesWhatWasTaken(t *testing.T) {
	p := testPlanner(1) // 10 partitions, of which a.b has one
	take := func(name string, partitions int32) error {
		n, err := p.plan(topicSpec{name: name, partitions: partitions, factor: 1})
		if err == nil {
			p.take(n)
		}
		return err
	}
	for _, c := range []struct {
		name       string
		partitions int32
		want       error
	}{
		{"c", 4, nil}, {"d.e", 4, nil}, {"d_e", 1, errInvalidTopic}, {"a_b", 1, errInvalidTopic},
		{"f", 2, errInvalidPartitions}, {"f", 1, nil}, {"g", 1, errInvalidPartitions},
	} {
		if err := take(c.name, c.partitions); !errors.Is(err, c.want) {
			t.Errorf("%s with %d partitions: %v", c.name, c.partitions, err)
		}
	}
}

func TestPartitionFiles(t *testing.T) {
	for limit, want := range map[uint64]int{0: 1, 1024: 256, 20000: 5000, 1 << 20: partitionCap, 1<<64 - 1: partitionCap} {
		if got := partitionFiles(limit); got != want {
			t.Errorf("limit of %d: %d files, want %d", limit, got, want)
		}
	}
}
