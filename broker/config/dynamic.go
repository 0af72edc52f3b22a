package config

import (
	"errors"
	"fmt"
)

// dynamic are the broker's own keys that a configuration call changes while it runs. Kafka has them dynamic too; of the other
// keys of this broker Kafka has none so.
var dynamic = map[string]bool{
	"max.connections": true, "max.connections.per.ip": true, "max.connections.per.ip.overrides": true,
	"max.connection.creation.rate": true,
}

// Dynamic says whether a key can be changed while the broker runs.
func Dynamic(key string) bool {
	r := find(key)
	return r != nil && (r.dynamic || dynamic[key])
}

// Set changes the value of one key, as Kafka's tools spell it, or nothing.
func (c *Config) Set(key, value string) error {
	r := find(key)
	if r == nil {
		return fmt.Errorf("no configuration key %s", key)
	}
	next := *c
	err := r.set(&next, value)
	if err == nil && values[key] == nil && next.Value(key) != value {
		err = errors.New("must be a number without a unit") // which it has been turned into
	}
	if err != nil {
		return fmt.Errorf("invalid value %s for configuration %s: %w", value, key, err)
	}
	*c = next
	return nil
}
