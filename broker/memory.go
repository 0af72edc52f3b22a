package broker

import (
	"cmp"
	"math"
	"runtime/debug"
	"sync"

	"github.com/quirelog/quire/broker/config"
)

// gcBallastBytes is memory that is reserved and never touched, so that the kernel never provides it. The garbage collector
// counts it as live and lets that much garbage gather before it runs. Produce frames are handed over for good and short-lived;
// with nothing else on the heap it would run every 4 MiB of them, which cuts throughput to a third (BenchmarkConnection). Unlike
// a larger GOGC the allowance does not grow with the heap.
const gcBallastBytes = 64 << 20

// ballast is one for all brokers of a process.
var ballast = sync.OnceValue(func() []byte { return make([]byte, gcBallastBytes) })

// What a broker takes beside the memory of requests, and room for what is garbage but not collected yet.
const (
	baseBytes      = 112 << 20
	partitionBytes = 256 << 10 // of one partition with its Raft group
)

// memoryLimit is the memory that a broker's limits allow it: everything that requests may hold at one time, and what they are
// held in. Near it the garbage collector runs more often, in place of letting as much garbage gather as there is live memory.
func memoryLimit(cfg *config.Config, partitions int) int64 {
	requests := cfg.MaxInFlightBytes + cfg.MaxInFlightBytes/provingShare + recompressBytes
	return gcBallastBytes + requests + baseBytes + int64(partitions)*partitionBytes
}

// limitMemory sets the limit for the partitions that there are now, if it is this broker's to set.
func (b *Broker) limitMemory() {
	if !b.options.LimitMemory || debug.SetMemoryLimit(-1) != cmp.Or(b.memory, math.MaxInt64) {
		return
	}
	if limit := memoryLimit(&b.cfg, len(b.partitions.All())); limit != b.memory {
		b.memory = limit
		debug.SetMemoryLimit(limit)
	}
}
