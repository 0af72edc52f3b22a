package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The classes of Kafka's tools for clusters.
const (
	topicsTool   = "org.apache.kafka.tools.TopicCommand"
	reassignTool = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
	electionTool = "org.apache.kafka.tools.LeaderElectionCommand"
	quorumTool   = "org.apache.kafka.tools.MetadataQuorumCommand"
)

// TestClusterTools takes kafka-topics, kafka-reassign-partitions, kafka-leader-election and kafka-metadata-quorum to three brokers, of which they know one.
func TestClusterTools(t *testing.T) {
	needsJava(t)
	c := startCluster(t, 3)
	box := openTools(t, c.brokers[2].addr)
	said := box.do(t, topicsTool, "--create", "--topic", "orders", "--partitions", "3", "--replication-factor", "3")
	wants(t, said, `Created topic orders\.`)
	box.do(t, topicsTool, "--create", "--topic", "pairs", "--replica-assignment", "1:2,2:1")
	said = box.do(t, topicsTool, "--create", "--topic", "too-many", "--partitions", "1", "--replication-factor", "4")
	wants(t, said, `replication factor.*\b4\b`, `exit status 1`)
	eventually(t, c, box, []string{topicsTool, "--describe", "--topic", "orders"}, `(?m)^Topic: orders\s+TopicId: \S{22}\s+PartitionCount: 3\s+ReplicationFactor: 3\s`,
		`Leader: 1\s.*Isr: \d,\d,\d`, `Leader: 2\s.*Isr: \d,\d,\d`, `Leader: 3\s.*Isr: \d,\d,\d`)
	for _, b := range c.brokers {
		knowsOnly(t, b, "orders", 3)
	}
	t.Run("kafka-reassign-partitions", func(t *testing.T) { reassigns(t, c, box) })
	t.Run("kafka-leader-election", func(t *testing.T) { elects(t, c, box) })
	t.Run("kafka-metadata-quorum", func(t *testing.T) { describesQuorum(t, c, box) })
}

// wants says which of these patterns the output of a tool does not have.
func wants(t *testing.T, said string, patterns ...string) {
	t.Helper()
	if err := lacks(said, patterns...); err != nil {
		t.Error(err)
	}
}

func lacks(said string, patterns ...string) error {
	for _, p := range patterns {
		if !regexp.MustCompile(p).MatchString(said) {
			return fmt.Errorf("%s is missing in\n%s", p, said)
		}
	}
	return nil
}

// eventually runs a tool until its output has all patterns.
func eventually(t *testing.T, c *cluster, box *toolbox, words []string, patterns ...string) {
	t.Helper()
	until := time.Now().Add(30 * time.Second)
	for {
		err := lacks(box.do(t, words...), patterns...)
		if err == nil {
			return
		}
		if time.Now().After(until) {
			t.Fatal(err)
		}
	}
}

// knowsOnly writes to all partitions, and reads them, with a client that was told of one broker alone.
func knowsOnly(t *testing.T, b *clusterBroker, topic string, partitions int32) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(topic), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	want := map[string]bool{}
	for p := range partitions {
		value := fmt.Sprintf("by broker %d, to partition %d", b.id, p)
		want[value] = true
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Partition: p, Value: []byte(value)}).FirstErr(); err != nil {
			t.Errorf("%s: %v", value, err)
			return
		}
	}
	for len(want) > 0 {
		fetches := cl.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { delete(want, string(r.Value)) })
	}
}

// reassignment is a file for kafka-reassign-partitions.
func reassignment(t *testing.T, topic string, replicas ...[]int) string {
	t.Helper()
	type move struct {
		Topic     string `json:"topic"`
		Partition int    `json:"partition"`
		Replicas  []int  `json:"replicas"`
	}
	plan := struct {
		Version    int    `json:"version"`
		Partitions []move `json:"partitions"`
	}{Version: 1}
	for p, r := range replicas {
		plan.Partitions = append(plan.Partitions, move{topic, p, r})
	}
	b, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "plan.json")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// reassigns moves both partitions of pairs, one to the third broker, one to all three, and asks for what cannot be.
func reassigns(t *testing.T, c *cluster, box *toolbox) {
	produceAges(t, c.brokers[0].addr, "pairs", 2, time.Now(), make([]time.Duration, 100)...)
	topics := filepath.Join(t.TempDir(), "topics.json")
	if err := os.WriteFile(topics, []byte(`{"version":1,"topics":[{"topic":"pairs"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	wants(t, box.do(t, reassignTool, "--generate", "--topics-to-move-json-file", topics, "--broker-list", "1,3"), `Current partition replica assignment`, `Proposed partition reassignment`)
	wants(t, box.do(t, reassignTool, "--execute", "--reassignment-json-file", reassignment(t, "pairs", []int{1, 9})), `(?i)unknown broker|not.*alive|broker.*9`, `exit status 1`)
	plan := reassignment(t, "pairs", []int{3, 1}, []int{2, 1, 3})
	wants(t, box.do(t, reassignTool, "--execute", "--reassignment-json-file", plan), `Successfully started partition reassignments for pairs-0,pairs-1`)
	eventually(t, c, box, []string{reassignTool, "--verify", "--reassignment-json-file", plan}, `Reassignment of partition pairs-0 is completed`, `Reassignment of partition pairs-1 is completed`)
	wants(t, box.do(t, reassignTool, "--list"), `No partition reassignments found`)
	eventually(t, c, box, []string{topicsTool, "--describe", "--topic", "pairs"}, `Partition: 0\s+Leader: \d\s+Replicas: 3,1\s+Isr: (3,1|1,3)\s`, `Partition: 1\s+Leader: \d\s+Replicas: 2,1,3\s+Isr: \d,\d,\d`)
	for p, end := range endsOf(t, c.brokers[1].addr, "pairs") {
		if end != 100 {
			t.Errorf("partition %d ends at %d after the move, want 100", p, end)
		}
	}
}

// elects lets the second replica of each partition lead while the first is away, and gives the lead back. Of two replicas no single one may lead.
func elects(t *testing.T, c *cluster, box *toolbox) {
	b := c.brokers[0]
	b.kill()
	eventually(t, c, box, []string{topicsTool, "--describe", "--unavailable-partitions"}, `^\s*Topic: pairs\s+Partition: 0\s+Leader: none.*\n$`)
	wants(t, box.do(t, topicsTool, "--describe", "--under-replicated-partitions"), `Topic: orders`)
	b.run(t)
	c.awaitReady(time.Minute)
	eventually(t, c, box, []string{topicsTool, "--describe", "--topic", "orders"}, `Isr: \d,\d,\d.*\n.*Isr: \d,\d,\d.*\n.*Isr: \d,\d,\d`)
	// a replica that is in sync (for the last 30 s) may not have the newest record yet, and is not elected then
	eventually(t, c, box, []string{electionTool, "--election-type", "preferred", "--all-topic-partitions"}, `^(Successfully completed.*\n|Valid replica already elected.*\n)*$`)
	eventually(t, c, box, []string{topicsTool, "--describe", "--topic", "orders"}, `Leader: 1\s`, `Leader: 2\s`, `Leader: 3\s`)
	said := box.do(t, electionTool, "--election-type", "preferred", "--topic", "orders", "--partition", "0")
	wants(t, said, `Valid replica already elected for partitions? orders-0`)
	said = box.do(t, electionTool, "--election-type", "preferred", "--topic", "orders", "--partition", "7")
	wants(t, said, `orders-7`, `exit status 1`)
}

// describesQuorum wants the controller's three voters, all level.
func describesQuorum(t *testing.T, c *cluster, box *toolbox) {
	eventually(t, c, box, []string{quorumTool, "describe", "--status"}, `ClusterId:\s+\S{22}`, `LeaderId:\s+[123]\b`, `LeaderEpoch:\s+\d+`, `HighWatermark:\s+\d+`,
		`MaxFollowerLag:\s+\d+`, `CurrentVoters:\s+\[.*1.*2.*3.*\]`, `CurrentObservers:\s+\[\]`)
	said := box.do(t, quorumTool, "describe", "--replication")
	wants(t, said, `NodeId\s+(DirectoryId\s+)?LogEndOffset\s+Lag\s+LastFetchTimestamp\s+LastCaughtUpTimestamp\s+Status`)
	if n := strings.Count(said, "Leader") + strings.Count(said, "Follower"); n != 3 {
		t.Errorf("%d voters in\n%s", n, said)
	}
}
