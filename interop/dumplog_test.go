package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestDumpLog lets Kafka's own kafka-dump-log and `quire storage dump` print the segment files that the round trips of every
// codec leave behind: with tombstones, headers, null and empty keys, bytes that are no UTF-8, idempotent and plain producers and
// LogAppendTime. They must agree line by line.
func TestDumpLog(t *testing.T) {
	jars := os.Getenv("QUIRE_INTEROP_JAVA")
	if jars == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("Kafka's jars are not installed: run it through ./run")
		}
		t.Skip("SKIPPED: Kafka's jars are not installed")
	}
	dir := t.TempDir()
	broker := startQuire(t, dir).addr
	files := produceForDump(t, broker, dir)
	for _, mode := range []struct{ ours, kafka []string }{
		{nil, nil},
		{[]string{"--records"}, []string{"--deep-iteration"}},
		{[]string{"--data"}, []string{"--print-data-log"}},
	} {
		kafka := append([]string{"java", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-cp", jars,
			"org.apache.kafka.tools.DumpLogSegments", "--files", strings.Join(files, ",")}, mode.kafka...)
		ours := append(append([]string{quireBinary(), "storage", "dump"}, files...), mode.ours...)
		want, got := string(output(t, nil, kafka...)), string(output(t, nil, ours...))
		checkDump(t, want, len(mode.ours) > 0)
		compareLines(t, fmt.Sprint(mode.kafka), got, want)
	}
}

// produceForDump makes topics of all kinds, ten thousand records each, and topics in whose codec the broker puts the batches of all
// others, and returns their segment files.
func produceForDump(t *testing.T, broker, dir string) (files []string) {
	t.Helper()
	rs := binaryRecords(7)
	for i, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		for _, appendTime := range []bool{false, true} {
			topic := fmt.Sprintf("dump-%s-%t", codec, appendTime)
			createTopic(t, broker, topic, 1)
			if appendTime {
				useAppendTime(t, broker, topic)
			}
			franz{}.produce(t, broker, topic, codec, (i%2 == 0) != appendTime, rs)
			franz{}.produce(t, broker, topic, codec, (i%2 == 0) == appendTime, rs[:500])
			found, err := filepath.Glob(filepath.Join(dir, topic+"-0", "*.log"))
			if err != nil || len(found) == 0 {
				t.Fatalf("no segment files: %v", err)
			}
			files = append(files, found...)
		}
	}
	for _, asked := range []string{"uncompressed", "gzip", "snappy", "lz4", "zstd"} {
		topic := "dump-to-" + asked
		createTopicWith(t, broker, topic, 1, map[string]string{"compression.type": asked})
		for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
			franz{}.produce(t, broker, topic, codec, true, rs[:500])
		}
		found, err := filepath.Glob(filepath.Join(dir, topic+"-0", "*.log"))
		if err != nil || len(found) == 0 {
			t.Fatalf("no segment files: %v", err)
		}
		files = append(files, found...)
	}
	return files
}

func useAppendTime(t *testing.T, broker, topic string) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	value := "LogAppendTime"
	set := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "message.timestamp.type", Value: &value}}
	answers, err := kadm.NewClient(c).AlterTopicConfigs(t.Context(), set, topic)
	if err != nil || answers[0].Err != nil {
		t.Fatalf("message.timestamp.type: %v, %v", err, answers)
	}
}

// checkDump makes sure that what Kafka's tool printed is what the comparison is about.
func checkDump(t *testing.T, dumped string, records bool) {
	t.Helper()
	if want := 10*(recordCount+500) + 25*500; records && strings.Count(dumped, "| offset: ") != want {
		t.Errorf("kafka-dump-log listed %d records, want %d", strings.Count(dumped, "| offset: "), want)
	}
	if n := strings.Count(dumped, "isvalid: true"); n == 0 || n != strings.Count(dumped, "baseOffset: ") {
		t.Errorf("kafka-dump-log found %d valid batches of %d", n, strings.Count(dumped, "baseOffset: "))
	}
	for _, want := range []string{"compresscodec: none", "compresscodec: gzip", "compresscodec: snappy", "compresscodec: lz4",
		"compresscodec: zstd", " CreateTime: ", " LogAppendTime: ", "producerId: -1", "producerId: [0-9]"} {
		if !regexp.MustCompile(want).MatchString(dumped) {
			t.Errorf("there is no %q among what was compared", want)
		}
	}
	if bad := regexp.MustCompile(`(?i)isvalid: false|Found [0-9]+ invalid`).FindString(dumped); bad != "" {
		t.Errorf("kafka-dump-log says %q", bad)
	}
}

func compareLines(t *testing.T, what, got, want string) {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("%s: line %d is\n%.1000q, kafka-dump-log's\n%.1000q", what, i+1, g[i], w[i])
		}
	}
	if len(g) != len(w) {
		t.Errorf("%s: %d lines, kafka-dump-log has %d", what, len(g), len(w))
	}
	t.Logf("%s: %d lines agree", what, len(w))
}

func quireBinary() string {
	if bin := os.Getenv("QUIRE_BIN"); bin != "" {
		return bin
	}
	return "../bin/quire"
}
