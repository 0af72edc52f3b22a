package broker

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/quirelog/quire/broker/topicconfig"
	"github.com/quirelog/quire/segment/batch"
)

// noTimestamp is what a record without a timestamp has; no bound applies to it.
const noTimestamp = -1

// needsConversion says whether a topic's configuration asks for more than a look at the batch's header. Other batches are stored
// byte for byte, undecoded; the bounds on timestamps of most are checked here with the header's largest one.
func needsConversion(h *batch.Header, c *topicconfig.Config) bool {
	if c.Compression.Asked && c.Compression.Codec != h.Compression() {
		return true
	}
	if c.LogAppendTime {
		return false
	}
	return c.Timestamps.Before != math.MaxInt64 || checkFuture(h.MaxTimestamp, c, time.Now()) != nil
}

// convert checks the timestamps of a batch and recompresses it, as its topic asks for.
func (b *Broker) convert(ctx context.Context, raw []byte, h batch.Header, c *topicconfig.Config) ([]byte, batch.Header, error) {
	now := time.Now()
	if !c.LogAppendTime {
		if err := checkFuture(h.MaxTimestamp, c, now); err != nil {
			return nil, h, err
		}
	}
	target := c.Compression.Target(c.MaxMessageBytes)
	recompress := c.Compression.Asked && target.Codec != h.Compression()
	if !recompress {
		target.Codec = batch.None
	}
	weight := min(batch.WorkingMemory(raw, target), recompressBytes)
	if err := b.recompressing.Acquire(ctx, weight); err != nil {
		return nil, h, fmt.Errorf("waiting for memory to decompress a batch in: %w", err)
	}
	defer b.recompressing.Release(weight)
	var times batch.Times
	var err error
	if recompress {
		raw, times, err = batch.Recompress(raw, target)
	} else {
		times, err = batch.Scan(raw, target.MaxPlain)
	}
	if err != nil {
		return nil, h, err
	}
	if !c.LogAppendTime {
		if err := checkTimes(times, c, now); err != nil {
			return nil, h, err
		}
	}
	if recompress {
		h, err = batch.ParseHeader(raw)
	}
	return raw, h, err
}

// checkTimes holds the records' timestamps against the topic's bounds.
func checkTimes(times batch.Times, c *topicconfig.Config, now time.Time) error {
	if err := checkFuture(times.Max, c, now); err != nil {
		return err
	}
	before := c.Timestamps.Before
	if oldest := now.UnixMilli() - before; before != math.MaxInt64 && times.Min < oldest {
		return fmt.Errorf("%w: %d ms since the epoch is older than message.timestamp.before.max.ms (%d) allows, %d",
			errTimestamp, times.Min, before, oldest)
	}
	return nil
}

// checkFuture holds the largest timestamp of a batch against message.timestamp.after.max.ms.
func checkFuture(largest int64, c *topicconfig.Config, now time.Time) error {
	ahead := c.Timestamps.After
	if newest := now.UnixMilli(); largest == noTimestamp || ahead > math.MaxInt64-newest || largest <= newest+ahead {
		return nil
	}
	return fmt.Errorf("%w: %d ms since the epoch is further ahead than message.timestamp.after.max.ms (%d) allows",
		errTimestamp, largest, ahead)
}
