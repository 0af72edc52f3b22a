package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestConnectStandalone lets a standalone Connect worker carry the lines of a file through a topic to another file, twice: the second worker goes on where
// the first ended, at the source by its offsets file and at the sink by the offsets of its group.
func TestConnectStandalone(t *testing.T) {
	needsJava(t)
	broker := brokerUnderTest(t)
	createTopic(t, broker, "carried", 3)
	dir := t.TempDir()
	files := connectFiles(t, dir, broker)
	source, sink := filepath.Join(dir, "source.txt"), filepath.Join(dir, "sink.txt")
	var want []string
	for round := range 2 {
		var lines []string
		for i := range 200 {
			lines = append(lines, fmt.Sprintf("round %d, line %d", round, i))
		}
		appendLines(t, source, lines)
		want = append(want, lines...)
		stop := startConnect(t, files)
		awaitLines(t, sink, want)
		stop()
		if got := readLines(t, sink); len(got) != len(want) {
			t.Fatalf("the sink has %d lines after the worker's end, not %d", len(got), len(want))
		}
	}
}

// connectFiles writes the worker's, the source's and the sink's properties into dir, in the order of Connect's command line.
func connectFiles(t *testing.T, dir, broker string) []string {
	t.Helper()
	fill := strings.NewReplacer("DIR", dir, "BROKER", broker)
	var paths []string
	for i, properties := range []string{
		`bootstrap.servers=BROKER
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
offset.storage.file.filename=DIR/offsets
offset.flush.interval.ms=1000
plugin.discovery=service_load
listeners=http://127.0.0.1:0
`,
		`name=lines-source
connector.class=org.apache.kafka.connect.file.FileStreamSourceConnector
file=DIR/source.txt
topic=carried
`,
		`name=lines-sink
connector.class=org.apache.kafka.connect.file.FileStreamSinkConnector
file=DIR/sink.txt
topics=carried
`,
	} {
		path := filepath.Join(dir, fmt.Sprintf("%d.properties", i))
		if err := os.WriteFile(path, []byte(fill.Replace(properties)), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

// startConnect runs a worker; stop waits for its orderly end.
func startConnect(t *testing.T, files []string) (stop func()) {
	t.Helper()
	argv := tool("org.apache.kafka.connect.cli.ConnectStandalone", files...)
	cmd := exec.Command(argv[0], argv[1:]...)
	var out lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		limit := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		defer limit.Stop()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // 143: a JVM ended by SIGTERM
		if t.Failed() {
			t.Logf("Connect printed:\n%s", tail(out.bytes()))
		}
	}
	t.Cleanup(stop)
	return stop
}

func appendLines(t *testing.T, path string, lines []string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(strings.Join(lines, "\n") + "\n"); err != nil {
		t.Fatal(err)
	}
}

// readLines are the lines of a file, which need not be there.
func readLines(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

// awaitLines waits until every wanted line is in the file.
func awaitLines(t *testing.T, path string, want []string) {
	t.Helper()
	late := time.After(time.Minute)
	for tick := time.Tick(50 * time.Millisecond); ; {
		missing := map[string]bool{}
		for _, line := range want {
			missing[line] = true
		}
		for _, line := range readLines(t, path) {
			delete(missing, line)
		}
		if len(missing) == 0 {
			return
		}
		select {
		case <-tick:
		case <-late:
			t.Fatalf("%d of %d lines did not arrive in %s", len(missing), len(want), path)
		}
	}
}
