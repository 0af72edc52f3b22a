package interop

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
		return startQuire(t, t.TempDir(), flags...).addr
	case "kafka":
		return startKafka(t).addr
	default:
		return addr
	}
}

// startQuire serves dataDir until the test ends, with these further flags.
func startQuire(t *testing.T, dataDir string, flags ...string) *server {
	t.Helper()
	bin := os.Getenv("QUIRE_BIN")
	if bin == "" {
		bin = "../bin/quire"
	}
	addr := freeAddr(t)
	argv := []string{bin, "serve", "--data-dir", dataDir, "--kafka-addr", addr, "--http-addr", freeAddr(t), "--rpc-addr", freeAddr(t)}
	return start(t, addr, append(argv, flags...)...)
}

// startKafka runs a single KRaft broker of the published release until the test ends, with these further lines of configuration.
func startKafka(t *testing.T, lines ...string) *server {
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
`, addr, controller, dir) + strings.Join(lines, "\n")
	if err := os.WriteFile(config, []byte(properties), 0o600); err != nil {
		t.Fatal(err)
	}
	output(t, nil, "java", "-cp", jars, "kafka.tools.StorageTool", "format", "--standalone", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", config)
	return start(t, addr, "java", "-Xmx768m", "-cp", jars, "kafka.Kafka", config)
}

// server is a process that takes connections on addr and ends with the test.
type server struct {
	addr   string
	argv   []string
	out    lockedBuffer
	cmd    *exec.Cmd
	exited chan error
}

// start runs a server until the test ends and returns once addr takes connections.
func start(t *testing.T, addr string, argv ...string) *server {
	t.Helper()
	s := &server{addr: addr, argv: argv}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%s printed:\n%s", argv[0], tail(s.out.bytes()))
		}
	})
	s.run(t)
	return s
}

// run starts the process, for the first time or after kill.
func (s *server) run(t *testing.T) {
	t.Helper()
	s.cmd, s.exited = exec.Command(s.argv[0], s.argv[1:]...), make(chan error, 1)
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		t.Fatal(err)
	}
	go func(cmd *exec.Cmd, exited chan<- error) { exited <- cmd.Wait() }(s.cmd, s.exited)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		if c, err := net.Dial("tcp", s.addr); err == nil {
			c.Close()
			tick.Stop()
			return
		}
		select {
		case err := <-s.exited:
			s.cmd = nil
			t.Fatalf("%s ended at once: %v\n%s", s.argv[0], err, tail(s.out.bytes()))
		case <-ctx.Done():
			t.Fatalf("%s does not listen on %s", s.argv[0], s.addr)
		case <-tick.C:
		}
	}
}

// kill ends the process with kill -9.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.exited
	s.cmd = nil
}

func (s *server) stop() error {
	if s.cmd == nil {
		return nil
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.exited:
		return nil
	case <-time.After(15 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.exited
		return fmt.Errorf("%s did not end within 15 s of SIGTERM", s.argv[0])
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
