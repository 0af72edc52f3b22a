package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/quirelog/quire/broker/config"
	"github.com/quirelog/quire/replication/controller"
)

func testConfig(dir string) config.Config {
	cfg := config.Default()
	cfg.DataDir, cfg.KafkaAddr, cfg.HTTPAddr, cfg.RPCAddr = dir, "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	return cfg
}

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testWait)
	t.Cleanup(cancel)
	return ctx
}

// startBroker starts a whole broker; it is closed at the end of the test, or earlier by the test.
func startBroker(t testing.TB, cfg config.Config) *Broker {
	t.Helper()
	b, err := Start(testContext(t), cfg, Options{Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeBroker(t, b) })
	return b
}

func closeBroker(t testing.TB, b *Broker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testWait)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		t.Error(err)
	}
}

// makeTopic makes a topic and waits for its leaders, as CreateTopics does.
func makeTopic(t testing.TB, b *Broker, name string, partitions int) *controller.Topic {
	t.Helper()
	n := controller.NewTopic{Name: name}
	for range partitions {
		n.Partitions = append(n.Partitions, controller.Partition{Replicas: []int32{b.cfg.NodeID}})
	}
	topic, err := b.controller.CreateTopic(testContext(t), n)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.awaitLeaders(testContext(t), topic); err != nil {
		t.Fatal(err)
	}
	return topic
}

func wantLeading(t *testing.T, b *Broker, topic *controller.Topic) {
	t.Helper()
	for n := range topic.Partitions {
		p := b.partitions.Get(topic.Name, int32(n))
		if p == nil {
			t.Fatalf("%s-%d is not open", topic.Name, n)
		}
		if _, err := p.Marks(-1); err != nil {
			t.Fatalf("%s-%d: %v", topic.Name, n, err)
		}
	}
}

func TestPartitionsLeadAfterCreationAndAfterARestart(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, testConfig(dir))
	topic := makeTopic(t, b, "a", 5)
	wantLeading(t, b, topic)
	cluster := b.clusterID
	closeBroker(t, b)
	b = startBroker(t, testConfig(dir))
	wantLeading(t, b, topic)
	if b.clusterID != cluster || cluster == "" {
		t.Errorf("cluster id was %q and is %q", cluster, b.clusterID)
	}
}

// A topic deleted and made again is another one: new id, new directory.
func TestDeletedPartitionsGo(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, testConfig(dir))
	old := makeTopic(t, b, "a", 2)
	if err := b.controller.DeleteTopic(testContext(t), old.ID); err != nil {
		t.Fatal(err)
	}
	topic := makeTopic(t, b, "a", 1)
	wantLeading(t, b, topic)
	if topic.ID == old.ID {
		t.Error("the topic has its old id")
	}
	if err := b.reconciler.await(testContext(t), b.controller.Image()); err != nil {
		t.Fatal(err)
	}
	if p := b.partitions.Get("a", 1); p != nil {
		t.Error("a-1 is still open")
	}
	if _, err := os.Stat(dir + "/a-1"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a-1: %v", err)
	}
}

func TestDataDirectoryIsLocked(t *testing.T) {
	cfg := testConfig(t.TempDir())
	b := startBroker(t, cfg)
	_, err := Start(testContext(t), cfg, Options{})
	locked, ok := errors.AsType[*LockedError](err)
	if !ok || locked.PID != os.Getpid() || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Fatalf("got %v", err)
	}
	closeBroker(t, b)
	closeBroker(t, startBroker(t, cfg)) // the lock is gone with its holder
}

func TestDataDirectoryOfAnotherNode(t *testing.T) {
	cfg := testConfig(t.TempDir())
	closeBroker(t, startBroker(t, cfg))
	cfg.NodeID = 2
	if _, err := Start(testContext(t), cfg, Options{}); err == nil || !strings.Contains(err.Error(), "belongs to node 1") {
		t.Fatalf("got %v", err)
	}
}

func TestOpenMetaRefusals(t *testing.T) {
	for _, tt := range []struct{ name, meta, want string }{
		{"newer format", `{"format":3,"node_id":1,"cluster_id":"c"}`, "has format 3"},
		{"no cluster", `{"format":1,"node_id":1}`, "is damaged"},
		{"no incarnation", `{"format":2,"node_id":1,"cluster_id":"c"}`, "is damaged"},
		{"the first format without a controller", `{"format":1,"node_id":1,"cluster_id":"c"}`, "not whole"},
		{"not JSON", `format=1`, "is damaged"},
		{"controller without meta", "", "not whole"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			var err error
			if tt.meta == "" {
				err = os.Mkdir(dir+"/"+controllerDir, 0o755)
			} else {
				err = os.WriteFile(dir+"/"+metaFile, []byte(tt.meta), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := openMeta(dir, 1); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, key := range []string{"kafka-addr", "http-addr"} {
		cfg := testConfig(t.TempDir())
		if key == "kafka-addr" {
			cfg.KafkaAddr = ln.Addr().String()
		} else {
			cfg.HTTPAddr = ln.Addr().String()
		}
		_, err := Start(testContext(t), cfg, Options{})
		taken, ok := errors.AsType[*PortError](err)
		if !ok || taken.Key != key || taken.Addr != ln.Addr().String() {
			t.Fatalf("%s: got %v", key, err)
		}
		if want := fmt.Sprintf("(pid %d)", os.Getpid()); !strings.HasSuffix(taken.Process, want) {
			t.Errorf("%s: process %q, want %s", key, taken.Process, want)
		}
		if taken.Free == "" || !strings.Contains(taken.Hint(), taken.Free) {
			t.Errorf("%s: free %q, hint %q", key, taken.Free, taken.Hint())
		}
		cfg.KafkaAddr, cfg.HTTPAddr = "127.0.0.1:0", ""
		closeBroker(t, startBroker(t, cfg)) // nothing was left locked
	}
}

func get(t *testing.T, b *Broker, path string) (status int, body string) {
	t.Helper()
	resp, err := http.Get("http://" + b.HTTPAddr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestAdminHTTP(t *testing.T) {
	b := startBroker(t, testConfig(t.TempDir()))
	makeTopic(t, b, "a", 1)
	for path, want := range map[string]string{
		"/":             "/metrics",
		"/healthz":      "ok",
		"/readyz":       "ok",
		"/metrics":      `quire_kafka_max_offset{partition="0",topic="a"} 0`,
		"/debug/pprof/": "goroutine",
	} {
		if status, body := get(t, b, path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d, without %q:\n%s", path, status, want, body)
		}
	}
	for _, name := range []string{"quire_kafka_request_latency_seconds", "quire_kafka_received_bytes_total", "quire_kafka_connections",
		"quire_storage_fsync_seconds", "quire_storage_disk_free_bytes", "quire_storage_disk_full 0", "quire_storage_fenced_partitions 0",
		`quire_raft_leadership_changes{partition="0",topic="a"} 1`, "process_resident_memory_bytes"} {
		if _, body := get(t, b, "/metrics"); !strings.Contains(body, "\n"+name) {
			t.Errorf("no %s in /metrics", name)
		}
	}
	if status, _ := get(t, b, "/nothing"); status != http.StatusNotFound {
		t.Errorf("/nothing: %d", status)
	}
	b.fatal(errors.New("sync: input/output error"))
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, body := get(t, b, path); status != http.StatusServiceUnavailable || !strings.Contains(body, "input/output") {
			t.Errorf("%s after a failed sync: %d %s", path, status, body)
		}
	}
}

func TestFatalIsToldOnce(t *testing.T) {
	told := 0
	b := newBroker(testConfig(t.TempDir()), Options{OnFatal: func(error) { told++ }})
	b.fatal(errors.New("first"))
	b.fatal(errors.New("second"))
	if told != 1 || (*b.failed.Load()).Error() != "first" {
		t.Errorf("told %d times, %v", told, *b.failed.Load())
	}
}

func TestAdvertised(t *testing.T) {
	loopback := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9092}
	for _, tt := range []struct {
		addr string
		ip   net.IP
		want string
	}{
		{"", loopback.IP, "127.0.0.1:9092"},
		{"", net.IPv6loopback, "[::1]:9092"},
		{"broker", loopback.IP, "broker:9092"},
		{"broker:19092", net.IPv4zero, "broker:19092"},
		{"", net.IPv4zero, net.JoinHostPort(outwardAddr(), "9092")},
	} {
		host, port := advertised(config.Config{AdvertisedAddr: tt.addr}, &net.TCPAddr{IP: tt.ip, Port: 9092})
		if got := net.JoinHostPort(host, strconv.Itoa(int(port))); got != tt.want {
			t.Errorf("%q on %v: got %s, want %s", tt.addr, tt.ip, got, tt.want)
		}
	}
}
