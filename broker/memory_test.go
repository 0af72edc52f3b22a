package broker

import (
	"math"
	"runtime/debug"
	"testing"

	"github.com/quirelog/quire/broker/config"
)

// What the default limits add up to stays below 512 MiB with room for what the collector does not count, and follows limits
// and partitions.
func TestMemoryLimit(t *testing.T) {
	cfg := config.Default()
	usual := memoryLimit(&cfg, 0)
	if resident := usual - gcBallastBytes; resident > 400<<20 {
		t.Errorf("%d MiB beside the ballast, which is not resident", resident>>20)
	}
	if got := memoryLimit(&cfg, 1000) - usual; got != 1000*partitionBytes {
		t.Errorf("1000 partitions have %d bytes", got)
	}
	cfg.MaxInFlightBytes += 1 << 30
	if got := memoryLimit(&cfg, 0) - usual; got != 1<<30+1<<30/provingShare {
		t.Errorf("1 GiB more of requests has %d bytes", got)
	}
}

// Only a process that is a broker's own is limited, and nobody else's limit is changed.
func TestMemoryLimitIsOnlySetWhereAsked(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(math.MaxInt64))
	b := startBroker(t, testConfig(t.TempDir()))
	limit := func() int64 { return debug.SetMemoryLimit(-1) }
	if got := limit(); got != math.MaxInt64 {
		t.Errorf("not asked for, and %d", got)
	}
	asked := &Broker{cfg: b.cfg, partitions: b.partitions, options: Options{LimitMemory: true}}
	asked.limitMemory()
	none := memoryLimit(&b.cfg, 0)
	if got := limit(); got != none {
		t.Errorf("%d, want %d", got, none)
	}
	makeTopic(t, b, "t", 3)
	asked.limitMemory()
	if got := limit(); got != none+3*partitionBytes {
		t.Errorf("with 3 partitions %d, want %d", got, none+3*partitionBytes)
	}
	debug.SetMemoryLimit(5 << 30)
	asked.limitMemory()
	if got := limit(); got != 5<<30 {
		t.Errorf("another's limit became %d", got)
	}
}
