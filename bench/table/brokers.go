package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is a broker under measurement.
type process struct {
	name         string
	cmd          *exec.Cmd
	exited       chan error
	addr, admin  string // admin: of the HTTP listener with the profiles; "": none
	dir          string
	topicConfigs map[string]*string
}

const (
	startTimeout = time.Minute
	stopTimeout  = 20 * time.Second
)

// startBroker starts a broker of a kind on a new directory, and returns when it listens.
func startBroker(ctx context.Context, s settings, kind string) (*process, error) {
	dir, err := os.MkdirTemp(s.dir, "quire-bench-")
	if err != nil {
		return nil, err
	}
	b := &process{name: "Quire, " + kind, addr: freeAddr(), dir: dir, exited: make(chan error, 1)}
	switch kind {
	case "kafka", "kafka-fsync":
		err = b.prepareKafka(ctx, s.jars, kind == "kafka-fsync")
	default:
		b.admin = freeAddr()
		b.cmd = exec.CommandContext(ctx, s.quire, "serve", "--data-dir", filepath.Join(dir, "data"), "--durability", kind,
			"--kafka-addr", b.addr, "--http-addr", b.admin, "--rpc-addr", freeAddr())
	}
	if err == nil {
		err = b.start(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", kind, err), os.RemoveAll(dir))
	}
	return b, nil
}

// prepareKafka formats the directory of a single KRaft broker of Apache Kafka. Its properties are those of its own example, but for
// the addresses and the one broker.
func (b *process) prepareKafka(ctx context.Context, jars string, fsync bool) error {
	if jars == "" {
		return errors.New("-jars is not set")
	}
	b.name = "Kafka, page cache"
	if fsync {
		every := "1"
		b.name, b.topicConfigs = "Kafka, flush.messages=1", map[string]*string{"flush.messages": &every}
	}
	controller, config := freeAddr(), filepath.Join(b.dir, "server.properties")
	properties := fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=%[2]s
listeners=PLAINTEXT://%[1]s,CONTROLLER://%[2]s
advertised.listeners=PLAINTEXT://%[1]s
controller.listener.names=CONTROLLER
log.dirs=%[3]s/data
offsets.topic.replication.factor=1
`, b.addr, controller, b.dir)
	if err := os.WriteFile(config, []byte(properties), 0o600); err != nil {
		return err
	}
	format := exec.CommandContext(ctx, "java", "-cp", jars, "kafka.tools.StorageTool", "format", "--standalone",
		"-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", config)
	if out, err := format.CombinedOutput(); err != nil {
		return fmt.Errorf("format Kafka's directory: %w: %s", err, out)
	}
	// The flags of kafka-server-start.sh.
	b.cmd = exec.CommandContext(ctx, "java", "-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
		"-XX:InitiatingHeapOccupancyPercent=35", "-cp", jars, "kafka.Kafka", config)
	return nil
}

// start waits until the broker takes connections.
func (b *process) start(ctx context.Context) error {
	log, err := os.Create(filepath.Join(b.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	b.cmd.Stdout, b.cmd.Stderr = log, log
	b.cmd.Cancel = func() error { return b.cmd.Process.Signal(syscall.SIGTERM) }
	b.cmd.WaitDelay = stopTimeout
	if err := b.cmd.Start(); err != nil {
		return err
	}
	go func() { b.exited <- b.cmd.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	ticks := time.NewTicker(10 * time.Millisecond)
	defer ticks.Stop()
	for {
		if c, err := net.Dial("tcp", b.addr); err == nil {
			return c.Close()
		}
		select {
		case err := <-b.exited:
			out, _ := os.ReadFile(log.Name())
			return fmt.Errorf("it ended: %w\n%s", err, out)
		case <-ctx.Done():
			b.end()
			return fmt.Errorf("it does not listen on %s: %w", b.addr, ctx.Err())
		case <-ticks.C:
		}
	}
}

func (b *process) end() {
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-b.exited:
	case <-time.After(stopTimeout):
		_ = b.cmd.Process.Kill()
		<-b.exited
	}
}

func (b *process) stop() {
	b.end()
	if err := os.RemoveAll(b.dir); err != nil {
		fmt.Fprintln(os.Stderr, "warning:", err)
	}
}

func freeAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "127.0.0.1:0"
	}
	defer l.Close()
	return l.Addr().String()
}
