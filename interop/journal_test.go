package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestJournalFormatters reads __consumer_offsets with kafka-console-consumer's own formatters, of Quire and of Apache Kafka after the same life of two
// groups: the tools that read Kafka's journal read ours, and find the same in it.
func TestJournalFormatters(t *testing.T) {
	needsJava(t)
	now := time.Now()
	var brokers []string
	for _, broker := range []string{brokerUnderTest(t, "--offsets-topic-num-partitions", "1"), startKafka(t).addr} {
		createTopic(t, broker, "lines", 1)
		produceAges(t, broker, "lines", 1, now, time.Hour, time.Hour)
		box := openTools(t, broker)
		for _, command := range []string{
			"commit simple lines 0 1 by-hand", "commit simple lines 0 2 again", "join member classic classic lines", "leave member",
			"commit classic lines 0 1 by-hand", groupTool + " --delete-offsets --group simple --topic lines", groupTool + " --delete --group classic",
		} {
			box.do(t, strings.Fields(command)...)
		}
		brokers = append(brokers, broker)
	}
	for formatter, want := range map[string][]string{
		"OffsetsMessageFormatter":       {`"metadata":"again"`, `"value":null`},
		"GroupMetadataMessageFormatter": {`"protocolType":"consumer"`, `"clientId":"member"`, `"value":null`},
	} {
		t.Run(formatter, func(t *testing.T) {
			got, kafka := formatted(t, brokers[0], formatter), formatted(t, brokers[1], formatter)
			if got != kafka {
				t.Errorf("Quire:\n%s\n\nKafka:\n%s", got, kafka)
			}
			for _, part := range want {
				if !strings.Contains(got, part) {
					t.Errorf("%s is missing in\n%s", part, got)
				}
			}
		})
	}
}

var (
	times   = regexp.MustCompile(`("\w*Timestamp"):\d+`)
	topicID = regexp.MustCompile(`("topicId"):"[^"]*"`)
)

// formatted is the journal as a formatter prints it, in the order of the text, without times and ids.
func formatted(t *testing.T, broker, formatter string) string {
	t.Helper()
	records := endsOf(t, broker, "__consumer_offsets")[0]
	out := output(t, nil, tool("org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", broker, "--topic", "__consumer_offsets",
		"--partition", "0", "--offset", "earliest", "--max-messages", fmt.Sprint(records), "--timeout-ms", "30000",
		"--formatter", "org.apache.kafka.tools.consumer."+formatter)...)
	var lines []string
	for d := json.NewDecoder(bytes.NewReader(out)); ; { // there is nothing between one record and the next
		var record json.RawMessage
		if err := d.Decode(&record); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}
		if bytes.Contains(record, []byte(`"generation":0`)) {
			continue // Kafka writes a group down when its first member asks to join, Quire when the first generation is whole
		}
		line := uuids.ReplaceAllString(string(record), "ID")
		lines = append(lines, topicID.ReplaceAllString(times.ReplaceAllString(line, "$1:0"), "$1"))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestConsoleConsumerGroups lets kafka-console-consumer read a topic in two runs of one group, by both protocols: the second goes on where the first ended.
func TestConsoleConsumerGroups(t *testing.T) {
	needsJava(t)
	broker := brokerUnderTest(t)
	createTopic(t, broker, "lines", 2)
	produceAges(t, broker, "lines", 2, time.Now(), make([]time.Duration, 10)...)
	for _, protocol := range []string{"classic", "consumer"} {
		t.Run(protocol, func(t *testing.T) {
			var got []string
			for _, n := range []int{7, 13} {
				out := output(t, nil, tool("org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", broker, "--topic", "lines",
					"--from-beginning", "--group", "console-"+protocol, "--command-property", "group.protocol="+protocol,
					"--max-messages", fmt.Sprint(n), "--timeout-ms", "30000")...)
				lines := strings.Fields(string(out))
				if len(lines) != n {
					t.Fatalf("%d records were read, not %d:\n%s", len(lines), n, out)
				}
				got = append(got, lines...)
			}
			slices.Sort(got)
			if distinct := slices.Compact(got); len(distinct) != 20 {
				t.Errorf("%d distinct records were read, not 20: %v", len(distinct), distinct)
			}
		})
	}
}
