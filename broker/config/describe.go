package config

import (
	"strconv"
	"strings"

	"github.com/quirelog/quire/segment/flush"
)

// values says how a Config spells the value of each key but those of topics.
var values = map[string]func(c *Config) string{
	"data-dir":                                  func(c *Config) string { return c.DataDir },
	"kafka-addr":                                func(c *Config) string { return c.KafkaAddr },
	"advertised-addr":                           func(c *Config) string { return c.AdvertisedAddr },
	"http-addr":                                 func(c *Config) string { return c.HTTPAddr },
	"rpc-addr":                                  func(c *Config) string { return c.RPCAddr },
	"node-id":                                   func(c *Config) string { return decimal(c.NodeID) },
	"broker.rack":                               func(c *Config) string { return c.Rack },
	"seeds":                                     func(c *Config) string { return strings.Join(c.Seeds, ",") },
	"rpc-advertised-addr":                       func(c *Config) string { return c.RPCAdvertisedAddr },
	"cluster-secret-file":                       func(c *Config) string { return c.SecretFile },
	"rpc-tls-cert-file":                         func(c *Config) string { return c.TLS.Cert },
	"rpc-tls-key-file":                          func(c *Config) string { return c.TLS.Key },
	"rpc-tls-ca-file":                           func(c *Config) string { return c.TLS.CA },
	"durability":                                func(c *Config) string { return spellDurability(c.Durability) },
	"flush-interval":                            func(c *Config) string { return c.FlushInterval.String() },
	"log.retention.check.interval.ms":           func(c *Config) string { return strconv.FormatInt(c.RetentionCheck.Milliseconds(), 10) },
	"auto.create.topics.enable":                 func(c *Config) string { return strconv.FormatBool(c.AutoCreateTopics) },
	"num.partitions":                            func(c *Config) string { return decimal(c.NumPartitions) },
	"default.replication.factor":                func(c *Config) string { return decimal(c.ReplicationFactor) },
	"socket.request.max.bytes":                  func(c *Config) string { return decimal(c.MaxRequestBytes) },
	"queued.max.request.bytes":                  func(c *Config) string { return decimal(c.MaxInFlightBytes) },
	"max.connections":                           func(c *Config) string { return decimal(c.MaxConnections) },
	"max.connections.per.ip":                    func(c *Config) string { return decimal(c.MaxConnectionsPerIP) },
	"max.connections.per.ip.overrides":          func(c *Config) string { return spellOverrides(c.ConnectionsOfIP) },
	"max.connection.creation.rate":              func(c *Config) string { return decimal(c.ConnectionRate) },
	"connections.max.idle.ms":                   func(c *Config) string { return decimal(c.IdleTimeout.Milliseconds()) },
	"fetch.max.bytes":                           func(c *Config) string { return decimal(c.FetchMaxBytes) },
	"max.incremental.fetch.session.cache.slots": func(c *Config) string { return decimal(c.FetchSessions) },
}

func spellDurability(m flush.Mode) string {
	for name, mode := range durabilities {
		if mode == m {
			return name
		}
	}
	return ""
}

func decimal[T int | int16 | int32 | int64](n T) string { return strconv.FormatInt(int64(n), 10) }

// Value spells the value that c has for a key as Kafka's tools read it (bytes and milliseconds as plain numbers); "" for
// an unknown key, and for one that is not set.
func (c *Config) Value(key string) string {
	if spell := values[key]; spell != nil {
		return spell(c)
	}
	if spell := groupValues[key]; spell != nil {
		return spell(&c.Groups)
	}
	if v, set := c.topics[key]; set {
		return v
	}
	if r := find(key); r != nil {
		return r.Default
	}
	return ""
}

var usual = Default()

// Usual is the value of a key that nothing sets, spelled as Value does.
func Usual(key string) string { return usual.Value(key) }
