package topicconfig

import (
	"errors"
	"testing"

	"github.com/quirelog/quire/segment"
)

// Whatever is set for a topic of the broker's own, nothing in it expires.
func TestCompactTopicsKeepEverything(t *testing.T) {
	for _, tt := range []struct {
		name   string
		values map[string]string
		valid  bool
	}{
		{"compact", map[string]string{"cleanup.policy": "compact", "retention.ms": "1", "segment.bytes": "2097152"}, true},
		{"delete", map[string]string{"cleanup.policy": "delete", "segment.bytes": "2097152"}, false},
		{"none", map[string]string{"segment.bytes": "2097152"}, false},
		{"another fault", map[string]string{"cleanup.policy": "compact", "no.such.key": "1", "segment.bytes": "2097152"}, false},
	} {
		c, err := Default().WithCompact(tt.values)
		if tt.valid != (err == nil) || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if c.Expires() != (segment.Retention{}) || c.SegmentBytes != 2<<20 {
			t.Errorf("%s: expires by %+v, segments of %d bytes", tt.name, c.Expires(), c.SegmentBytes)
		}
	}
}
