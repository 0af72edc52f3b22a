package config

import (
	"flag"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/quirelog/quire/segment/flush"
)

var update = flag.Bool("update", false, "rewrite golden files")

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "quire.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	with := func(f func(*Config)) Config { c := Default(); f(&c); return c }
	for _, tt := range []struct {
		name  string
		file  string
		env   []string
		flags map[string]string
		want  Config
	}{
		{name: "nothing set", want: Config{
			NodeID: 1, DataDir: "./quire-data", KafkaAddr: "127.0.0.1:9092", RPCAddr: "127.0.0.1:9643", HTTPAddr: "127.0.0.1:9644",
			Durability: flush.Fsync, FlushInterval: time.Second, RetentionCheck: 5 * time.Second, AutoCreateTopics: true, NumPartitions: 4, ReplicationFactor: -1,
			MaxRequestBytes: 104857600, MaxInFlightBytes: 160 << 20, MaxConnections: 10000,
			MaxConnectionsPerIP: math.MaxInt32, ConnectionsOfIP: map[netip.Addr]int{}, ConnectionRate: math.MaxInt32, IdleTimeout: 600 * time.Second,
			FetchMaxBytes: 57671680, FetchSessions: 1000,
			Groups: Groups{
				JournalPartitions: 16, MinSession: 6 * time.Second, MaxSession: 30 * time.Minute, MaxSize: 10000,
				Session: 45 * time.Second, Heartbeat: 5 * time.Second, Interval: 100 * time.Millisecond, NewMaxSize: 10000,
				Migration: "bidirectional", OffsetsCheck: 10 * time.Minute, OffsetMetadata: 4096,
			},
		}},
		{
			name: "groups",
			file: "offsets.retention.minutes = 10080\ngroup.consumer.migration.policy = \"Upgrade\"\ngroup.min.session.timeout.ms = 10\n" +
				"group.initial.rebalance.delay.ms = \"3s\"\n",
			want: with(func(c *Config) {
				c.Groups.OffsetsRetention, c.Groups.Migration = 7*24*time.Hour, "upgrade"
				c.Groups.MinSession, c.Groups.InitialDelay = 10*time.Millisecond, 3*time.Second
			}),
		},
		{
			name: "dotted keys are tables, plain numbers have Kafka's unit",
			file: "num.partitions = 12\nconnections.max.idle.ms = 30000\nauto.create.topics.enable = false\nfetch.max.bytes = 1048576\n",
			want: with(func(c *Config) {
				c.NumPartitions, c.IdleTimeout, c.AutoCreateTopics, c.FetchMaxBytes = 12, 30*time.Second, false, 1<<20
			}),
		},
		{
			name: "quoted keys and human values",
			file: "\"num.partitions\" = \"12\"\nconnections.max.idle.ms = \"1d\"\nqueued.max.request.bytes = \"1.5 GiB\"\n" +
				"durability = \"interval\"\nflush-interval = \"250ms\"\nseeds = [\"127.0.0.1:9643\"]\n",
			want: with(func(c *Config) {
				c.NumPartitions, c.IdleTimeout, c.MaxInFlightBytes = 12, 24*time.Hour, 3<<29
				c.Durability, c.FlushInterval, c.Seeds = flush.Interval, 250*time.Millisecond, []string{"127.0.0.1:9643"}
			}),
		},
		{
			name: "flags win over the environment, which wins over the file",
			file: "node-id = 2\nnum.partitions = 2\ndata-dir = \"/file\"\n",
			env: []string{"QUIRE_NODE_ID=3", "QUIRE_NUM_PARTITIONS=3", "HOME=/root", "QUIRE_BROKERS=elsewhere:9092",
				"QUIRE_PROFILE=x"},
			flags: map[string]string{"node-id": "4"},
			want:  with(func(c *Config) { c.NodeID, c.NumPartitions, c.DataDir = 4, 3, "/file" }),
		},
		{
			name:  "what topics have that do not set theirs",
			file:  "log.retention.hours = 24\nlog.segment.bytes = \"64MiB\"\nlog.cleanup.policy = [\"delete\"]\nlog.roll.hours = 168\n",
			env:   []string{"QUIRE_LOG_ROLL_MS=1d"},
			flags: map[string]string{"message.max.bytes": "2000000"},
			want: with(func(c *Config) {
				c.topics = map[string]string{"log.retention.hours": "24", "log.segment.bytes": "67108864", "log.roll.ms": "86400000",
					"message.max.bytes": "2000000"}
			}),
		},
		{name: "a key that begins with another", file: "max.connections = 30\n\"max.connections.per.ip\" = 20\n",
			env: []string{"QUIRE_MAX_CONNECTIONS_PER_IP_OVERRIDES=::1:5"},
			want: with(func(c *Config) {
				c.MaxConnections, c.MaxConnectionsPerIP = 30, 20
				c.ConnectionsOfIP = map[netip.Addr]int{netip.IPv6Loopback(): 5}
			})},
		{name: "one of three, by its place", flags: map[string]string{"seeds": "127.0.0.1:1, 127.0.0.1:2,127.0.0.1:3", "rpc-addr": "127.0.0.1:2"},
			want: with(func(c *Config) {
				c.NodeID, c.RPCAddr, c.Seeds = 2, "127.0.0.1:2", []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"}
			})},
		{name: "one that joins, behind a proxy", file: "node-id = 4\ndefault.replication.factor = 2\nbroker.rack = \"a\"\n",
			flags: map[string]string{"seeds": "a.example:1", "rpc-addr": ":2", "rpc-advertised-addr": "b.example:3"},
			env:   []string{"QUIRE_CLUSTER_SECRET= 0123456789abcdef\n"},
			want: with(func(c *Config) {
				c.NodeID, c.RPCAddr, c.RPCAdvertisedAddr, c.Seeds = 4, ":2", "b.example:3", []string{"a.example:1"}
				c.ReplicationFactor, c.Rack, c.Secret = 2, "a", "0123456789abcdef"
			})},
		{name: "no admin HTTP", flags: map[string]string{"http-addr": ""}, want: with(func(c *Config) { c.HTTPAddr = "" })},
		{name: "every interface", flags: map[string]string{"kafka-addr": ":9092", "advertised-addr": "broker.example.com"},
			want: with(func(c *Config) { c.KafkaAddr, c.AdvertisedAddr = ":9092", "broker.example.com" })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := Source{Env: tt.env, Flags: tt.flags}
			if tt.file != "" {
				s.File = writeFile(t, tt.file)
			}
			got, err := Load(s)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Fatalf("got %+v, %v\nwant %+v", got, err, tt.want)
			}
		})
	}
}

func TestLoadFaults(t *testing.T) {
	for _, tt := range []struct {
		name  string
		file  string
		env   []string
		flags map[string]string
		want  []string
	}{
		{name: "a key under a value", file: "max.connections = 3\nmax.connections.per.ip = 3\n", want: []string{"is not TOML"}},
		{name: "unknown key", file: "num.partition = 3\n", want: []string{"num.partition (", "did you mean num.partitions?"}},
		{name: "unknown flag", flags: map[string]string{"kafka-adr": ""}, want: []string{"did you mean kafka-addr?"}},
		{name: "misspelt variable", env: []string{"QUIRE_NODEID=1"}, want: []string{"did you mean QUIRE_NODE_ID?"}},
		{name: "no file", flags: nil, file: "-", want: []string{"no such file"}},
		{name: "not TOML", file: "node-id = = 1", want: []string{"is not TOML"}},
		{name: "all faults at once", file: "node-id = 0\nnum.partitions = \"many\"\n", env: []string{"QUIRE_DURABILITY=hope"},
			want: []string{"node-id = \"0\"", "from 1", "must be a whole number", "QUIRE_DURABILITY", "fsync, interval or os"}},
		{name: "bool", file: "auto.create.topics.enable = \"yes\"", want: []string{"true or false"}},
		{name: "address", flags: map[string]string{"kafka-addr": "9092"}, want: []string{"--kafka-addr", "must be an address"}},
		{name: "port", flags: map[string]string{"kafka-addr": "localhost:70000"}, want: []string{`port "70000"`}},
		{name: "advertised nowhere", flags: map[string]string{"advertised-addr": "0.0.0.0:9092"}, want: []string{"clients can dial"}},
		{name: "size", file: "fetch.max.bytes = \"1 cow\"", want: []string{"must be a size"}},
		{name: "size too large", file: "fetch.max.bytes = \"9999999999999GiB\"", want: []string{"must be from"}},
		{name: "time without unit", file: "flush-interval = 5", want: []string{"must be a time"}},
		{name: "time too short", file: "connections.max.idle.ms = 1", want: []string{"must be from 100ms"}},
		{name: "topics' default", file: "log.segment.bytes = \"1KiB\"", want: []string{"log.segment.bytes", "at least 1048576"}},
		{name: "no policy", file: "log.cleanup.policy = \"compacted\"", want: []string{"delete, compact"}},
		{name: "nothing is kept", file: "log.retention.ms = 0", want: []string{"unlimited (-1)"}},
		{name: "unclean", env: []string{"QUIRE_UNCLEAN_LEADER_ELECTION_ENABLE=true"}, want: []string{"Only false"}},
		{name: "budget below a request", file: "queued.max.request.bytes = \"1MiB\"", want: []string{"would never fit"}},
		{name: "sessions", file: "group.max.session.timeout.ms = \"1s\"", want: []string{"nobody could join"}},
		{name: "heartbeats", file: "group.consumer.heartbeat.interval.ms = \"45s\"", want: []string{"every member would be removed"}},
		{name: "migration", file: "group.consumer.migration.policy = \"up\"", want: []string{"bidirectional, upgrade, downgrade, disabled"}},
		{name: "offsets kept for no time", file: "offsets.retention.minutes = 0", want: []string{"-1 for ever"}},
		{name: "no secret", flags: map[string]string{"seeds": "127.0.0.1:9643,10.0.0.2:9643"},
			want: []string{"10.0.0.2:9643", "cluster-secret-file", "QUIRE_CLUSTER_SECRET"}},
		{name: "no secret for others", flags: map[string]string{"rpc-addr": ":9643"}, want: []string{"anybody could join"}},
		{name: "short secret", env: []string{"QUIRE_CLUSTER_SECRET=abracadabra"}, want: []string{"11 bytes", "from 16"}},
		{name: "no file of the secret", flags: map[string]string{"cluster-secret-file": "/none"}, want: []string{"cluster-secret-file", "/none"}},
		{name: "no place in seeds", flags: map[string]string{"seeds": "127.0.0.1:1"}, want: []string{"127.0.0.1:9643", "set node-id"}},
		{name: "a seed twice", flags: map[string]string{"seeds": "127.0.0.1:9643,127.0.0.1:9643"}, want: []string{"twice"}},
		{name: "a seed nowhere", flags: map[string]string{"seeds": ":9643"}, want: []string{"can dial"}},
		{name: "half of TLS", flags: map[string]string{"rpc-tls-key-file": "k"}, want: []string{"all three or none"}},
		{name: "replication", file: "default.replication.factor = 0", want: []string{"from 1 to 32767, or -1"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := Source{Env: tt.env, Flags: tt.flags}
			switch tt.file {
			case "":
			case "-":
				s.File = filepath.Join(t.TempDir(), "missing.toml")
			default:
				s.File = writeFile(t, tt.file)
			}
			_, err := Load(s)
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in: %v", part, err)
				}
			}
		})
	}
}

func TestTemplate(t *testing.T) {
	var b strings.Builder
	if err := WriteTemplate(&b); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/template.toml"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || b.String() != string(want) {
		t.Fatalf("the template differs from %s (%v); run with -update", golden, err)
	}
	// With its keys taken out of their comments it is the default.
	var lines []string
	for line := range strings.Lines(b.String()) {
		if strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "# ") {
			line = line[1:]
		}
		lines = append(lines, line)
	}
	got, err := Load(Source{File: writeFile(t, strings.Join(lines, ""))})
	if err != nil || !reflect.DeepEqual(got, Default()) {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestSplitAdvertised(t *testing.T) {
	for _, tt := range []struct {
		in, host string
		port     int32
	}{
		{"broker", "broker", 0}, {"broker:19092", "broker", 19092}, {"[::1]:19092", "::1", 19092}, {"::1", "::1", 0},
	} {
		if host, port := SplitAdvertised(tt.in); host != tt.host || port != tt.port {
			t.Errorf("%s: got %s, %d", tt.in, host, port)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "abc", 0}, {"kitten", "sitting", 3}, {"", "ab", 2}, {"node-id", "nodeid", 1}} {
		if got := EditDistance(tt.a, tt.b); got != tt.want {
			t.Errorf("%s, %s: got %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestSecretIsNotPrinted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("abracadabra-abracadabra\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(Source{Flags: map[string]string{"cluster-secret-file": path}})
	if err != nil || c.Secret != "abracadabra-abracadabra" {
		t.Fatal(err, len(c.Secret))
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "c", c, "s", c.Secret)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "c", c, "s", c.Secret)
	fmt.Fprintf(&log, "%v %+v %#v %s", c, c, c, c.Secret)
	for _, k := range Keys() {
		log.WriteString(c.Value(k.Name))
	}
	if strings.Contains(log.String(), "abracadabra") {
		t.Errorf("the secret is in %s", log.String())
	}
}

func TestFactor(t *testing.T) {
	c := Default()
	for brokers, want := range map[int]int16{0: 1, 1: 1, 2: 2, 3: 3, 9: 3} {
		if got := c.Factor(brokers); got != want {
			t.Errorf("%d brokers: factor %d, want %d", brokers, got, want)
		}
	}
	if c.ReplicationFactor = 2; c.Factor(1) != 2 {
		t.Error("what is set does not count")
	}
}
