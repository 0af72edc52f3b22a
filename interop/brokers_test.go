package interop

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// brokerUnderTest starts bin/quire on a throw-away directory, with these further flags; QUIRE_INTEROP_BROKER=host:port names a running broker instead, and "kafka" starts Apache Kafka,
// which is how the tests themselves are tested.
func brokerUnderTest(t *testing.T, flags ...string) string {
	switch addr := os.Getenv("QUIRE_INTEROP_BROKER"); addr {
	case "":
		return startQuire(t, t.TempDir(), flags...)
	case "kafka":
		return startKafka(t)
	default:
		return addr
	}
}

// startQuire serves dataDir until the test ends, with these further flags.
func startQuire(t *testing.T, dataDir string, flags ...string) string {
	t.Helper()
	bin := os.Getenv("QUIRE_BIN")
	if bin == "" {
		bin = "../bin/quire"
	}
	addr := freeAddr(t)
	argv := []string{bin, "serve", "--data-dir", dataDir, "--kafka-addr", addr, "--http-addr", freeAddr(t), "--rpc-addr", freeAddr(t)}
	start(t, addr, append(argv, flags...)...)
	return addr
}

// startKafka runs a single KRaft broker of the published release until the test ends.
func startKafka(t *testing.T) string {
	t.Helper()
	jars := os.Getenv("QUIRE_INTEROP_JAVA")
	if jars == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("Kafka's jars are not installed: run it through ./run")
		}
		t.Skip("SKIPPED: Kafka's jars are not installed")
	}
	dir := t.TempDir()
	addr, controller := freeAddr(t), freeAddr(t)
	config := filepath.Join(dir, "server.properties")
	properties := fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=%[2]s
listeners=PLAINTEXT://%[1]s,CONTROLLER://%[2]s
advertised.listeners=PLAINTEXT://%[1]s
controller.listener.names=CONTROLLER
log.dirs=%[3]s/data
num.partitions=4
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
group.consumer.min.heartbeat.interval.ms=1000
group.consumer.heartbeat.interval.ms=1000
`, addr, controller, dir)
	if err := os.WriteFile(config, []byte(properties), 0o600); err != nil {
		t.Fatal(err)
	}
	output(t, nil, "java", "-cp", jars, "kafka.tools.StorageTool", "format", "--standalone", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", config)
	start(t, addr, "java", "-Xmx768m", "-cp", jars, "kafka.Kafka", config)
	return addr
}

// start runs a server until the test ends and returns once addr takes connections.
func start(t *testing.T, addr string, argv ...string) {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	var out lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(15 * time.Second):
			_ = cmd.Process.Kill()
			<-exited
			t.Errorf("%s did not end within 15 s of SIGTERM", argv[0])
		}
		if t.Failed() {
			t.Logf("%s printed:\n%s", argv[0], tail(out.bytes()))
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			tick.Stop()
			return
		}
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("%s ended at once: %v\n%s", argv[0], err, tail(out.bytes()))
		case <-ctx.Done():
			t.Fatalf("%s does not listen on %s", argv[0], addr)
		case <-tick.C:
		}
	}
}

// lockedBuffer takes what a server prints while the test may look at it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
