// Package config is the broker's configuration: one table of keys, read from a TOML file, the environment and flags.
package config

import (
	"net/netip"
	"time"

	"github.com/quirelog/quire/broker/topicconfig"
	"github.com/quirelog/quire/segment/flush"
)

// Config is a broker's validated configuration.
type Config struct {
	NodeID         int32
	DataDir        string
	KafkaAddr      string // listen address
	AdvertisedAddr string // host or host:port as clients dial it; "": the listener's
	HTTPAddr       string // "": no admin HTTP
	Rack           string

	Seeds             []string // never changed once set
	RPCAddr           string   // listen address
	RPCAdvertisedAddr string   // "": the listener's
	SecretFile        string
	Secret            Secret // of SecretFile or the environment; "": none
	TLS               TLS    // between brokers

	Durability     flush.Mode
	FlushInterval  time.Duration // of durability "interval"
	RetentionCheck time.Duration

	AutoCreateTopics  bool
	NumPartitions     int32
	ReplicationFactor int16 // -1: three, or one a broker while there are fewer

	MaxRequestBytes  int32 // socket.request.max.bytes
	MaxInFlightBytes int64 // queued.max.request.bytes: request bytes held over all connections
	MaxConnections   int   // max.connections

	MaxConnectionsPerIP int                // max.connections.per.ip
	ConnectionsOfIP     map[netip.Addr]int // max.connections.per.ip.overrides; never changed once set
	ConnectionRate      int                // max.connection.creation.rate, a second

	IdleTimeout   time.Duration // connections.max.idle.ms
	FetchMaxBytes int32
	FetchSessions int // max.incremental.fetch.session.cache.slots

	Groups Groups

	topics map[string]string // what is set for topics that do not set theirs, by key of the broker; never changed once set
}

// Key is one configuration key: its name in the file, which is also its flag (with dashes) and its environment name
// (QUIRE_ and upper case with underscores).
type Key struct {
	Name    string // as in the file: "kafka-addr"; Kafka's own names ("num.partitions") keep their dots
	Flag    string
	Env     string
	Default string
	Doc     string // one line

	Type topicconfig.Type // as DescribeConfigs tells it; String where nothing else is said
	Next []string         // keys for the same thing that count, in this order, where this one is not set: then it has no value
}

// Source is where values come from; later ones win: defaults, File, Env, Flags.
type Source struct {
	File  string            // path of a TOML file; "": none
	Env   []string          // as os.Environ
	Flags map[string]string // by key name, only those that were given
}

// Default is the configuration of a broker that sets nothing.
func Default() Config {
	var c Config
	for i := range keys {
		if err := keys[i].set(&c, keys[i].Default); err != nil {
			panic("config: default of " + keys[i].Name + ": " + err.Error())
		}
	}
	c.NodeID = 1
	return c
}
