package interop

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// needsJava skips the test where Kafka's jars are not installed.
func needsJava(t *testing.T) {
	t.Helper()
	if os.Getenv("QUIRE_INTEROP_JAVA") == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("Kafka's jars are not installed: run it through ./run")
		}
		t.Skip("SKIPPED: Kafka's jars are not installed")
	}
}

// toolbox is clients/java's Tools against one broker: Kafka's tools, one after the other in one process.
type toolbox struct {
	broker string
	in     io.Writer
	out    *bufio.Reader
}

// openTools starts a toolbox that ends with the test.
func openTools(t *testing.T, broker string) *toolbox {
	t.Helper()
	argv := tool("Tools", broker)
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	limit := time.AfterFunc(3*time.Minute, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
		limit.Stop()
	})
	return &toolbox{broker, in, bufio.NewReader(out)}
}

// groupTool is kafka-consumer-groups.
const groupTool = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"

// do runs one command and returns what it printed, and its exit status where that is not 0.
func (b *toolbox) do(t *testing.T, words ...string) string {
	t.Helper()
	if strings.Contains(words[0], ".") {
		words = append([]string{words[0], "--bootstrap-server", b.broker}, words[1:]...)
	}
	if _, err := fmt.Fprintln(b.in, strings.Join(words, "\t")); err != nil {
		t.Fatalf("%s: %v", strings.Join(words, " "), err)
	}
	var said strings.Builder
	for {
		line, err := b.out.ReadString('\n')
		if err != nil {
			t.Fatalf("%s: %v after\n%s", strings.Join(words, " "), err, said.String())
		}
		if status, ended := strings.CutPrefix(line, "--status "); ended {
			if status != "0\n" {
				said.WriteString("exit status " + status)
			}
			return said.String()
		}
		said.WriteString(line)
	}
}

// produceAges writes a record of each of these ages, before now, to every partition of the topic.
func produceAges(t *testing.T, broker, topic string, partitions int32, now time.Time, ages ...time.Duration) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var rs []*kgo.Record
	for p := range partitions {
		for i, age := range ages {
			rs = append(rs, &kgo.Record{Topic: topic, Partition: p, Timestamp: now.Add(-age), Value: fmt.Appendf(nil, "%d.%d", p, i)})
		}
	}
	if err := cl.ProduceSync(t.Context(), rs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}
