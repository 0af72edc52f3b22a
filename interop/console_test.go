package interop

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// console is Kafka's console tools: kafka-console-producer and kafka-console-consumer.
type console struct{}

func (console) name() string   { return "console" }
func (console) can() abilities { return abilities{idempotent: true, readsNull: true} }

// tool is the command line of one of Kafka's tools.
func tool(class string, args ...string) []string {
	return append([]string{"java", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-cp", os.Getenv("QUIRE_INTEROP_JAVA"), class}, args...)
}

func (console) open(t *testing.T, broker string, o order) producer {
	return once(func(rs []record) ([]stored, error) {
		var in bytes.Buffer
		for _, r := range rs {
			headers := make([]string, len(r.headers))
			for i, h := range r.headers {
				headers[i] = h.key + ":" + h.value
			}
			if len(headers) == 0 {
				headers = []string{"NULL"}
			}
			fmt.Fprintf(&in, "%s\t%s\t%s\n", strings.Join(headers, ","), consoleField(r.key), consoleField(r.value))
		}
		argv := tool("org.apache.kafka.tools.ConsoleProducer",
			"--bootstrap-server", broker, "--topic", o.topic, "--compression-codec", o.codec,
			"--reader-property", "parse.key=true", "--reader-property", "parse.headers=true", "--reader-property", "null.marker=NULL",
			"--command-property", "acks="+cmp.Or(o.acks, "all"), "--command-property", "enable.idempotence="+strconv.FormatBool(o.idempotent),
			"--command-property", "max.in.flight.requests.per.connection=1", "--command-property", "max.request.size=4194304")
		if o.large {
			argv = append(argv, "--sync") // else a refusal is not told by the exit status
		}
		_, err := runProgram(t, &in, argv...)
		return nil, err
	})
}

func consoleField(b []byte) string {
	if b == nil {
		return "NULL"
	}
	return string(b)
}

func (console) consume(t *testing.T, broker, topic string) []stored {
	t.Helper()
	var got []stored
	for partition, end := range endsOf(t, broker, topic) {
		out := output(t, nil, tool("org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", broker,
			"--topic", topic, "--partition", fmt.Sprint(partition), "--offset", "earliest",
			"--max-messages", fmt.Sprint(end), "--timeout-ms", "30000",
			"--formatter-property", "print.timestamp=true", "--formatter-property", "print.offset=true",
			"--formatter-property", "print.headers=true", "--formatter-property", "print.key=true",
			"--formatter-property", "null.literal=NULL")...)
		for line := range bytes.Lines(out) {
			got = append(got, fromConsole(t, partition, strings.TrimSuffix(string(line), "\n")))
		}
	}
	return got
}

// fromConsole reads a line such as "CreateTime:1 \t Offset:0 \t a:b,c:d \t key \t value", without the blanks.
func fromConsole(t *testing.T, partition int32, line string) stored {
	t.Helper()
	f := strings.Split(line, "\t")
	if len(f) != 5 {
		t.Fatalf("kafka-console-consumer printed %.200q", line)
	}
	after := func(s string) string { return s[strings.IndexByte(s, ':')+1:] }
	s := stored{partition: partition, offset: number(t, after(f[1]))}
	s.timestamp = number(t, after(f[0]))
	if f[3] != "NULL" {
		s.key = []byte(f[3])
	}
	if f[4] != "NULL" {
		s.value = []byte(f[4])
	}
	for part := range strings.SplitSeq(f[2], ",") {
		if k, v, ok := strings.Cut(part, ":"); ok {
			s.headers = append(s.headers, header{k, v})
		}
	}
	return s
}

// topics asks kafka-topics.
func (console) topics(t *testing.T, broker string) map[string]int {
	t.Helper()
	found := map[string]int{}
	out := output(t, nil, tool("org.apache.kafka.tools.TopicCommand", "--bootstrap-server", broker, "--describe")...)
	for _, m := range describedTopic.FindAllSubmatch(out, -1) {
		found[string(m[1])] = int(number(t, string(m[2])))
	}
	return found
}

var describedTopic = regexp.MustCompile(`(?m)^Topic: (\S+)\s+TopicId: \S+\s+PartitionCount: ([0-9]+)`)

// follow is kafka-console-consumer, which is the Java client.
func (console) follow(ctx context.Context, broker, topic string, said chan<- string) error {
	argv := tool("org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", broker, "--topic", topic,
		"--partition", "0", "--offset", "earliest", "--command-property", "metadata.max.age.ms=500")
	return followProgram(ctx, argv, said)
}

// TestConsoleTools runs Kafka's other command-line tools against the broker, as an operator would.
func TestConsoleTools(t *testing.T) {
	if !slices.ContainsFunc(clients(t), func(c client) bool { return c.name() == "console" }) {
		t.Skip("SKIPPED: Kafka's jars are not installed")
	}
	broker := brokerUnderTest(t)
	for _, step := range []struct {
		name, class, args string
		want              []string
	}{
		{"create", "org.apache.kafka.tools.TopicCommand", "--create --topic tools --partitions 3 --config segment.ms=60000", []string{"Created topic tools"}},
		{"alter", "org.apache.kafka.tools.TopicCommand", "--alter --topic tools --partitions 4", nil},
		{"describe", "org.apache.kafka.tools.TopicCommand", "--describe --topic tools",
			[]string{"PartitionCount: 4", "ReplicationFactor: 1", "segment.ms=60000", "Partition: 3", "Leader: 1"}},
		{"list", "org.apache.kafka.tools.TopicCommand", "--list", []string{"tools"}},
		{"configs", "kafka.admin.ConfigCommand", "--alter --entity-type topics --entity-name tools --add-config max.message.bytes=2000000", []string{"Completed"}},
		{"describe configs", "kafka.admin.ConfigCommand", "--describe --entity-type topics --entity-name tools", []string{"max.message.bytes=2000000", "segment.ms=60000"}},
		{"bad config", "kafka.admin.ConfigCommand", "--alter --entity-type topics --entity-name tools --add-config segment.ms=soon", []string{"InvalidConfigurationException"}},
		{"perf", "org.apache.kafka.tools.ProducerPerformance", "--topic tools --num-records 5000 --record-size 200 --throughput -1", []string{"5000 records sent"}},
		{"offsets", "org.apache.kafka.tools.GetOffsetShell", "--topic tools --time latest", []string{"tools:0:", "tools:3:"}},
		{"delete", "org.apache.kafka.tools.TopicCommand", "--delete --topic tools", nil},
	} {
		t.Run(step.name, func(t *testing.T) {
			args := append([]string{"--bootstrap-server", broker}, strings.Fields(step.args)...)
			out, err := runProgram(t, nil, tool(step.class, args...)...)
			said := string(out)
			if err != nil {
				said += err.Error() // the bad configuration is refused
			}
			if bad := step.name == "bad config"; (err != nil) != bad {
				t.Fatalf("%s\n%v", out, err)
			}
			for _, want := range step.want {
				if !strings.Contains(said, want) {
					t.Errorf("%q is missing in\n%s", want, said)
				}
			}
		})
	}
}
