package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"slices"
	"strings"
)

// Secret is what the brokers of a cluster share to know each other. It is never printed.
type Secret string

const hidden = "[hidden]"

// String hides the secret, as GoString and MarshalText do.
func (Secret) String() string { return hidden }

// GoString hides the secret.
func (Secret) GoString() string { return hidden }

// MarshalText hides the secret.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// TLS are the files (PEM) for mutual TLS between brokers: all of them are set, or none.
type TLS struct{ Cert, Key, CA string }

const (
	secretEnv      = "QUIRE_CLUSTER_SECRET"
	minSecretBytes = 16
	maxSecretBytes = 4 << 10
)

// cluster completes what several keys say together: the secret, and the id of a broker that is known by its place in seeds.
func (l *loader) cluster(c *Config, environ []string) {
	if err := c.readSecret(environ); err != nil {
		l.faults = append(l.faults, err)
	}
	if l.values.Exists("node-id") && asText(l.values.Get("node-id")) != "" || len(c.Seeds) == 0 {
		return
	}
	own := c.OwnSeed()
	at := slices.Index(c.Seeds, own)
	if at < 0 {
		l.fault("seeds does not name this broker (%s), so its place in the list cannot be its id: set node-id", own)
		return
	}
	c.NodeID = int32(at + 1)
}

// OwnSeed is this broker as seeds of the cluster name it.
func (c *Config) OwnSeed() string {
	if c.RPCAdvertisedAddr != "" {
		return c.RPCAdvertisedAddr
	}
	return c.RPCAddr
}

func (c *Config) readSecret(environ []string) error {
	secret, from := "", secretEnv
	for _, pair := range environ {
		if v, ok := strings.CutPrefix(pair, secretEnv+"="); ok {
			secret = strings.TrimSpace(v)
		}
	}
	if secret == "" && c.SecretFile == "" {
		return nil
	}
	if secret == "" {
		from = "cluster-secret-file = " + c.SecretFile
		f, err := os.Open(c.SecretFile)
		if err != nil {
			return fmt.Errorf("cluster-secret-file: %w", err)
		}
		defer f.Close()
		text, err := io.ReadAll(io.LimitReader(f, maxSecretBytes+1))
		if err != nil {
			return fmt.Errorf("cluster-secret-file: %w", err)
		}
		secret = strings.TrimSpace(string(text))
	}
	if len(secret) < minSecretBytes || len(secret) > maxSecretBytes {
		return fmt.Errorf("%s: the secret has %d bytes, it must have from %d to %d (openssl rand -hex 32 makes one)",
			from, len(secret), minSecretBytes, maxSecretBytes)
	}
	c.Secret = Secret(secret)
	return nil
}

// checkCluster holds the keys of a cluster against each other.
func (c *Config) checkCluster() []error {
	var faults []error
	if some, all := c.TLS != (TLS{}), c.TLS.Cert != "" && c.TLS.Key != "" && c.TLS.CA != ""; some && !all {
		faults = append(faults, errors.New("rpc-tls-cert-file, rpc-tls-key-file and rpc-tls-ca-file go together: set all three or none"))
	}
	for i, seed := range c.Seeds {
		if slices.Contains(c.Seeds[:i], seed) {
			faults = append(faults, fmt.Errorf("seeds names %s twice", seed))
		}
	}
	if c.Secret != "" || c.TLS != (TLS{}) {
		return faults
	}
	for _, addr := range append([]string{c.RPCAddr, c.OwnSeed()}, c.Seeds...) {
		if !isLoopback(addr) {
			return append(faults, fmt.Errorf("brokers would speak over %s without knowing each other: anybody could join. Give all of them a secret "+
				"(openssl rand -hex 32 > FILE, cluster-secret-file = FILE or %s) or certificates (rpc-tls-...)", addr, secretEnv))
		}
	}
	return faults
}

// isLoopback says whether an address is sure to be on this machine.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// LoadTLS reads the files of TLS between brokers; nil where there are none.
func (c *Config) LoadTLS() (*tls.Config, error) {
	if c.TLS == (TLS{}) {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(c.TLS.Cert, c.TLS.Key)
	if err != nil {
		return nil, fmt.Errorf("rpc-tls-cert-file %s, rpc-tls-key-file %s: %w", c.TLS.Cert, c.TLS.Key, err)
	}
	authorities, err := os.ReadFile(c.TLS.CA)
	if err != nil {
		return nil, fmt.Errorf("rpc-tls-ca-file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("rpc-tls-ca-file %s: no certificate is in it", c.TLS.CA)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool}, nil
}

func setNodeID(c *Config, v string) error {
	if v == "" {
		c.NodeID = 1 // or the place in seeds: see loader.cluster
		return nil
	}
	return setInt(&c.NodeID, v, 1, math.MaxInt32)
}

// maxName is the longest name of a rack.
const maxName = 255

func setName(to *string, v string) error {
	if len(v) > maxName {
		return fmt.Errorf("must have up to %d bytes", maxName)
	}
	*to = v
	return nil
}

func setReplicationFactor(c *Config, v string) error {
	var n int16
	if err := setInt(&n, v, -1, math.MaxInt16); err != nil || n == 0 {
		return fmt.Errorf("must be from 1 to %d, or -1", math.MaxInt16)
	}
	c.ReplicationFactor = n
	return nil
}

// Factor is the replication factor of topics that are made without one, in a cluster of so many brokers.
func (c *Config) Factor(brokers int) int16 {
	if c.ReplicationFactor > 0 {
		return c.ReplicationFactor
	}
	return int16(max(1, min(brokers, usualFactor)))
}

// usualFactor is how many replicas a topic has by itself: one may die, and a majority is left.
const usualFactor = 3

func setSeeds(c *Config, v string) error {
	c.Seeds = nil
	for seed := range strings.SplitSeq(v, ",") {
		if seed = strings.TrimSpace(seed); seed == "" {
			continue
		}
		if err := checkDialable(seed); err != nil {
			return err
		}
		c.Seeds = append(c.Seeds, seed)
	}
	return nil
}

func setRPCAdvertised(c *Config, v string) error {
	if v != "" {
		if err := checkDialable(v); err != nil {
			return err
		}
	}
	c.RPCAdvertisedAddr = v
	return nil
}

// checkDialable checks an address as others dial it: with a host and a port.
func checkDialable(v string) error {
	host, port, err := net.SplitHostPort(v)
	if err != nil {
		return fmt.Errorf(`%q must be an address like "broker.example.com:9643"`, v)
	}
	if err := checkPort(port, 1); err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("%q must have a host that other brokers can dial", v)
	}
	return nil
}
