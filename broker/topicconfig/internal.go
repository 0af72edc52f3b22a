package topicconfig

import (
	"errors"
	"fmt"
	"maps"
)

const policyKey = "cleanup.policy"

// Compact is the cleanup.policy of the broker's own topics.
const Compact = "compact"

// WithCompact is With for a topic of the broker's own, whose cleanup.policy has to be compact: nothing in it expires. There is no compaction yet, so
// all of it is kept; who reads the topic is told not to count on that.
func (c Config) WithCompact(values map[string]string) (Config, error) {
	rest := maps.Clone(values)
	policy := rest[policyKey]
	delete(rest, policyKey)
	c, err := c.With(rest)
	c.Deletes = false
	if policy != Compact {
		err = errors.Join(fmt.Errorf("%w: invalid value %s for configuration %s: of this topic it can only be %s", ErrInvalid, policy, policyKey, Compact), err)
	}
	return c, err
}
