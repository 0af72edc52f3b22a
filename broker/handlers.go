package broker

import (
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
	// maxPartitions is the most partition replicas that a broker takes.
	maxPartitions int
}

// Limits on partitions: a partition holds up to three files, and its Raft group some 150 KiB of memory.
const (
	partitionCap      = 5000
	filesPerPartition = 3
)

func newHandlerState(cfg config.Config) handlerState {
	return handlerState{
		sessions:      newFetchSessions(cfg.FetchSessions, time.Now),
		recompressing: semaphore.NewWeighted(recompressBytes),
		maxPartitions: partitionLimit(openFileLimit()),
	}
}

// partitionLimit is how many partitions fit within a limit on open files.
func partitionLimit(files uint64) int {
	return int(min(partitionCap, files/filesPerPartition))
}

// openFileLimit is how many files this process may have open; where nobody says, few.
func openFileLimit() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return limit.Cur
}
