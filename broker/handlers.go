package broker

import (
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/quirelog/quire/broker/config"
	"golang.org/x/sync/semaphore"
)

// handlerState is what the handlers of all connections share, beside the broker's parts.
type handlerState struct {
	sessions    *fetchSessions
	views       views
	producerIDs producerIDs
	topicChange sync.Mutex // held while topics or partitions are checked and made
	// recompressing is the memory for decoding batches of producers, recompressBytes in all. Nothing else is waited for while
	// some of it is held.
	recompressing *semaphore.Weighted
	// converting has a place for each batch that may be decompressed at one time: see conversionShare. It is waited for before
	// recompressing, never the other way round.
	converting *semaphore.Weighted
	unusual    lane // of batches that grow much; waited for before converting
	// maxPartitions is the most partition replicas that a broker takes.
	maxPartitions int
}

// partitionCap is the most partitions that a broker takes, since each has a Raft group in memory with its goroutines. Their open
// files are bounded by themselves: see partitionFiles.
const partitionCap = 20000

func newHandlerState(cfg config.Config) handlerState {
	return handlerState{
		sessions:      newFetchSessions(cfg.FetchSessions, time.Now),
		views:         views{cfg: cfg},
		recompressing: semaphore.NewWeighted(recompressBytes),
		converting:    semaphore.NewWeighted(int64(max(1, runtime.GOMAXPROCS(0)/conversionShare))),
		unusual:       newLane(unusualRest),
		maxPartitions: partitionCap,
	}
}

// partitionFiles is how many of the files that this process may have open are kept for appending to partitions: a quarter.
// The others are for connections and for readers.
func partitionFiles(limit uint64) int {
	return int(max(min(limit/4, partitionCap), 1))
}

// openFileLimit is how many files this process may have open; where nobody says, few.
func openFileLimit() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return limit.Cur
}
