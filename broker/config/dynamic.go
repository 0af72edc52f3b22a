package config

import "fmt"

// dynamic are the keys that a configuration call changes while the broker runs. Kafka has them dynamic too; of the other keys
// of this broker Kafka has none so.
var dynamic = map[string]bool{"max.connections": true}

// Dynamic says whether a key can be changed while the broker runs.
func Dynamic(key string) bool { return dynamic[key] }

// Set changes the value of one key, as it is spelled in a file.
func (c *Config) Set(key, value string) error {
	r := find(key)
	if r == nil {
		return fmt.Errorf("no configuration key %s", key)
	}
	if err := r.set(c, value); err != nil {
		return fmt.Errorf("invalid value %s for configuration %s: %w", value, key, err)
	}
	return nil
}
