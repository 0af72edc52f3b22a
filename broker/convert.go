package broker

import (
	"context"
	"errors"
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
	if c.Compacts { // every record needs a key
		return true
	}
	if c.Compression.Asked && c.Compression.Codec != h.Compression() {
		return true
	}
	if c.LogAppendTime {
		return false
	}
	return c.Timestamps.Before != math.MaxInt64 || checkFuture(h.MaxTimestamp, c, time.Now()) != nil
}

// convert checks the timestamps of a batch and recompresses it, as its topic asks for. What grows more than usual waits for its
// lane, so that little input does not make much work.
func (b *Broker) convert(ctx context.Context, raw []byte, h batch.Header, c *topicconfig.Config) ([]byte, batch.Header, error) {
	now := time.Now()
	if !c.LogAppendTime {
		if err := checkFuture(h.MaxTimestamp, c, now); err != nil {
			return nil, h, err
		}
	}
	target := c.Compression.Target(c.MaxMessageBytes)
	most := min(target.MaxPlain, max(freePlain, len(raw)*maxExpansion))
	target.MaxPlain = min(most, max(usualPlain, len(raw)*usualExpansion))
	recompress := c.Compression.Asked && target.Codec != h.Compression()
	converted, seen, err := b.decompress(ctx, raw, target, recompress)
	if errors.Is(err, batch.ErrPlainTooLarge) && target.MaxPlain < most {
		target.MaxPlain = most
		err = b.unusual.do(ctx, func() (err error) {
			converted, seen, err = b.decompress(ctx, raw, target, recompress)
			return err
		})
	}
	if err != nil {
		return nil, h, fmt.Errorf("batch of %d bytes: %w", len(raw), err)
	}
	if c.Compacts && seen.Keyless >= 0 {
		return nil, h, fmt.Errorf("%w: record %d of the batch", errNoKey, seen.Keyless)
	}
	if !c.LogAppendTime {
		if err := checkTimes(seen.Times, c, now); err != nil {
			return nil, h, err
		}
	}
	if recompress {
		h, err = batch.ParseHeader(converted)
	}
	return converted, h, err
}

// decompress checks the records of a batch and, if recompress says so, puts them into the target's codec, when there is a
// processor and memory for that.
func (b *Broker) decompress(ctx context.Context, raw []byte, target batch.Target, recompress bool) ([]byte, batch.Scanned, error) {
	if err := b.converting.Acquire(ctx, 1); err != nil {
		return nil, batch.Scanned{}, fmt.Errorf("waiting for a processor to decompress: %w", err)
	}
	defer b.converting.Release(1)
	if !recompress {
		target.Codec = batch.None
	}
	weight := min(batch.WorkingMemory(raw, target), recompressBytes)
	if err := b.recompressing.Acquire(ctx, weight); err != nil {
		return nil, batch.Scanned{}, fmt.Errorf("waiting for memory to decompress: %w", err)
	}
	defer b.recompressing.Release(weight)
	if recompress {
		return batch.Recompress(raw, target)
	}
	seen, err := batch.Scan(raw, target.MaxPlain)
	return raw, seen, err
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
