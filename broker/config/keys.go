package config

import (
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/quirelog/quire/broker/topicconfig"
	"github.com/quirelog/quire/segment/flush"
)

// row is a key with how its value gets into a Config.
type row struct {
	Key
	isText  bool // quoted in the file
	dynamic bool // can be changed while the broker runs
	set     func(c *Config, value string) error
}

// keys is the table, in the order of generate config.
var keys = slices.Concat(brokerRows, clusterRows, groupRows, topicRows())

// clusterRows are those of a cluster of several brokers.
var clusterRows = []row{
	text("seeds", "", "rpc-addr of the cluster's first brokers, separated by commas, the same list on each: they form the cluster "+
		"together. A broker that joins names any of them. Empty: a cluster of its own, or the one that it is in.", setSeeds),
	text("rpc-addr", "127.0.0.1:9643", "Address on which other brokers reach this one.",
		func(c *Config, v string) error { return setAddr(&c.RPCAddr, v) }),
	text("rpc-advertised-addr", "", "host:port that other brokers dial, and seeds name. Empty: rpc-addr.", setRPCAdvertised),
	text("cluster-secret-file", "", "File with a secret of 16 bytes or more that the cluster's brokers share. QUIRE_CLUSTER_SECRET may "+
		"have the secret itself. Needed where brokers are not on one machine, but for rpc-tls.",
		func(c *Config, v string) error { c.SecretFile = v; return nil }),
	text("rpc-tls-cert-file", "", "Certificate (PEM) of this broker for mutual TLS between brokers; it names broker-N, N being node-id.",
		func(c *Config, v string) error { c.TLS.Cert = v; return nil }),
	text("rpc-tls-key-file", "", "Key (PEM) of that certificate.", func(c *Config, v string) error { c.TLS.Key = v; return nil }),
	text("rpc-tls-ca-file", "", "Certificates (PEM) of who signs those of the brokers.",
		func(c *Config, v string) error { c.TLS.CA = v; return nil }),
}

// brokerRows are the broker's own. A key is among them only where it has an effect.
var brokerRows = []row{
	text("data-dir", "./quire-data", "Directory that holds everything the broker keeps.", setDataDir),
	text("kafka-addr", "127.0.0.1:9092", "Address on which Kafka clients are served. Port 0 picks a free one.",
		func(c *Config, v string) error { return setAddr(&c.KafkaAddr, v) }),
	text("advertised-addr", "",
		"Host or host:port that clients are told to dial. Empty: the address they reached the broker at.", setAdvertised),
	text("http-addr", "127.0.0.1:9644", "Address of health checks, metrics and profiles. Empty: none.", setHTTP),
	text("node-id", "", "Id of this broker, 1 and up. A data directory belongs to one id for good. Empty: the position of "+
		"rpc-addr in seeds, 1 without seeds.", setNodeID),
	text("broker.rack", "", "Where this broker stands. Replicas of a partition are spread over racks, and consumers that name theirs "+
		"read from a replica in it.", func(c *Config, v string) error { return setName(&c.Rack, v) }),
	text("durability", "fsync",
		"When a produce is answered: fsync (on disk), interval (flushed every flush-interval), os (left to the kernel).", setDurability),
	text("flush-interval", "1s", "How often durability interval flushes: what is younger may be lost with the machine.",
		func(c *Config, v string) error {
			return setDuration(&c.FlushInterval, v, "", 10*time.Millisecond, time.Hour)
		}),
	plain("auto.create.topics.enable", "true", "Make topics when a client first asks for them.",
		func(c *Config, v string) error { return setBool(&c.AutoCreateTopics, v) }),
	plain("num.partitions", "4", "Partitions of a topic that is made without a number.",
		func(c *Config, v string) error { return setInt(&c.NumPartitions, v, 1, 100_000) }),
	plain("default.replication.factor", "-1", "Replicas of a topic that is made without a number. -1: three, or one a broker while there are fewer.",
		setReplicationFactor),
	text("log.retention.check.interval.ms", "5s", "How often partitions are looked at for records that have expired.",
		func(c *Config, v string) error {
			return setDuration(&c.RetentionCheck, v, "ms", 10*time.Millisecond, 24*time.Hour)
		}),
	bytes("socket.request.max.bytes", "100MiB", "Largest Produce request.",
		func(c *Config, v string) error { return setBytes(&c.MaxRequestBytes, v, 1<<10, math.MaxInt32) }),
	bytes("queued.max.request.bytes", "160MiB", "Memory that requests hold over all connections; more have to wait.",
		func(c *Config, v string) error { return setBytes(&c.MaxInFlightBytes, v, 1<<20, math.MaxInt64) }),
	plain("max.connections", "10000", "Kafka connections at one time; more are closed at once.",
		func(c *Config, v string) error { return setInt(&c.MaxConnections, v, 1, 1_000_000) }),
	plain("max.connections.per.ip", "2147483647", "Kafka connections from one address at one time; more are closed at once.",
		func(c *Config, v string) error { return setInt(&c.MaxConnectionsPerIP, v, 1, math.MaxInt32) }),
	text("max.connections.per.ip.overrides", "",
		"Addresses with a max.connections.per.ip of their own, as address:count, separated by commas.", setOverrides),
	plain("max.connection.creation.rate", "2147483647", "Kafka connections taken a second; more have to wait.",
		func(c *Config, v string) error { return setInt(&c.ConnectionRate, v, 1, math.MaxInt32) }),
	text("connections.max.idle.ms", "10m", "A connection without a request for so long is closed.",
		func(c *Config, v string) error {
			return setDuration(&c.IdleTimeout, v, "ms", 100*time.Millisecond, 365*24*time.Hour)
		}),
	bytes("fetch.max.bytes", "55MiB", "Largest Fetch response, whatever the client asks for.",
		func(c *Config, v string) error { return setBytes(&c.FetchMaxBytes, v, 1<<10, 1<<30) }),
	plain("max.incremental.fetch.session.cache.slots", "1000", "Incremental fetch sessions that are remembered (KIP-227).",
		func(c *Config, v string) error { return setInt(&c.FetchSessions, v, 0, 1_000_000) }),
}

func text(name, def, doc string, set func(*Config, string) error) row {
	r := plain(name, def, doc, set)
	r.isText = true
	return r
}

// bytes is a size: text, for it carries a unit.
func bytes(name, def, doc string, set func(*Config, string) error) row {
	return text(name, def, doc, set)
}

func plain(name, def, doc string, set func(*Config, string) error) row {
	words := strings.NewReplacer(".", "-", "_", "-").Replace(name)
	env := "QUIRE_" + strings.ToUpper(strings.ReplaceAll(words, "-", "_"))
	return row{Key: Key{Name: name, Flag: words, Env: env, Default: def, Doc: doc, Type: topicconfig.String}, set: set}
}

// Keys lists every key in the order in which generate config prints them.
func Keys() []Key {
	list := make([]Key, len(keys))
	for i := range keys {
		list[i] = keys[i].Key
	}
	return list
}

// Find returns the key of this name; ok is false if there is none.
func Find(name string) (k Key, ok bool) {
	if r := find(name); r != nil {
		return r.Key, true
	}
	return Key{}, false
}

var rowOf = func() map[string]*row {
	m := make(map[string]*row, len(keys))
	for i := range keys {
		m[keys[i].Name] = &keys[i]
	}
	return m
}()

// find is the row of name; nil if there is none.
func find(name string) *row { return rowOf[name] }

func setDataDir(c *Config, v string) error {
	if v == "" {
		return errors.New("must name a directory")
	}
	c.DataDir = v
	return nil
}

func setHTTP(c *Config, v string) error {
	if v == "" {
		c.HTTPAddr = ""
		return nil
	}
	return setAddr(&c.HTTPAddr, v)
}

func setAdvertised(c *Config, v string) error {
	if err := checkAdvertised(v); err != nil {
		return err
	}
	c.AdvertisedAddr = v
	return nil
}

var durabilities = map[string]flush.Mode{"fsync": flush.Fsync, "interval": flush.Interval, "os": flush.OS}

// setOneOf takes one of some words, in any case.
func setOneOf(to *string, v string, words []string) error {
	word := strings.ToLower(v)
	if !slices.Contains(words, word) {
		return errors.New("must be one of " + strings.Join(words, ", "))
	}
	*to = word
	return nil
}

func setDurability(c *Config, v string) error {
	mode, ok := durabilities[v]
	if !ok {
		return errors.New("must be fsync, interval or os")
	}
	c.Durability = mode
	return nil
}
