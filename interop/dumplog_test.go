package interop

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDumpLog lets Kafka's own kafka-dump-log read the segment files that the round trips of every codec leave behind.
func TestDumpLog(t *testing.T) {
	jars := os.Getenv("QUIRE_INTEROP_JAVA")
	if jars == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("Kafka's jars are not installed: run it through ./run")
		}
		t.Skip("SKIPPED: Kafka's jars are not installed")
	}
	dir := t.TempDir()
	broker := startQuire(t, dir)
	rs := binaryRecords(7)
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		createTopic(t, broker, "dump-"+codec, 1)
		franz{}.produce(t, broker, "dump-"+codec, codec, true, rs)
		files, err := filepath.Glob(filepath.Join(dir, "dump-"+codec+"-0", "*.log"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no segment files: %v", err)
		}
		out := output(t, nil, "java", "-cp", jars, "org.apache.kafka.tools.DumpLogSegments", "--deep-iteration", "--files", strings.Join(files, ","))
		dumped := string(out)
		if n := strings.Count(dumped, "| offset: "); n != len(rs) {
			t.Errorf("%s: kafka-dump-log listed %d records, want %d\n%s", codec, n, len(rs), tail(out))
		}
		if n := strings.Count(dumped, "isvalid: true"); n == 0 || n != strings.Count(dumped, "baseOffset: ") {
			t.Errorf("%s: kafka-dump-log found %d valid batches of %d", codec, n, strings.Count(dumped, "baseOffset: "))
		}
		if bad := regexp.MustCompile(`(?i)isvalid: false|exception|mismatch|corrupt|Found [0-9]+ invalid`).FindString(dumped); bad != "" {
			t.Errorf("%s: kafka-dump-log says %q\n%s", codec, bad, tail(out))
		}
	}
}
