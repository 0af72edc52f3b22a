package broker

import "sync"

// gcBallastBytes is memory that is reserved and never touched, so that the kernel never provides it. The garbage collector
// counts it as live and lets that much garbage gather before it runs. Produce frames are handed over for good and short-lived;
// with nothing else on the heap it would run every 4 MiB of them, which cuts throughput to a third (BenchmarkConnection). Unlike
// a larger GOGC the allowance does not grow with the heap.
const gcBallastBytes = 64 << 20

// ballast is one for all brokers of a process.
var ballast = sync.OnceValue(func() []byte { return make([]byte, gcBallastBytes) })
