package topicconfig

import (
	"errors"
	"fmt"
)

const policyKey = "cleanup.policy"

// Compact is a cleanup.policy; the broker's own topics have no other.
const Compact = "compact"

// WithCompact is With for a topic of the broker's own, whose cleanup.policy has to be compact: nothing in it expires.
func (c Config) WithCompact(values map[string]string) (Config, error) {
	c, err := c.With(values)
	c.Deletes, c.Compacts = false, true
	if policy := values[policyKey]; policy != Compact {
		err = errors.Join(fmt.Errorf("%w: invalid value %s for configuration %s: of this topic it can only be %s", ErrInvalid, policy, policyKey, Compact), err)
	}
	return c, err
}
