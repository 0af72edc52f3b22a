// Package members holds what a member of a consumer group says about itself, one JSON object a line: see clients/README.md.
package members

import (
	"encoding/json"
	"io"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

// The kinds of events.
const (
	Assigned  = "assigned"  // these partitions are the member's own from here on
	Revoked   = "revoked"   // said before the member gives them back
	Lost      = "lost"      // they were given to others, or may have been
	Records   = "records"   // read and done with; nothing of them is committed before this is said
	Committed = "committed" // the broker has acknowledged these offsets
	Refused   = "refused"   // it has not, and the member goes on
	Restarted = "restarted" // a new client takes the place of one that went wrong after it had been stopped; every partition was lost
	Leaving   = "leaving"   // told to end: every partition is given back
)

// Event is one line.
type Event struct {
	Kind       string     `json:"e"`
	At         int64      `json:"t"`           // of the machine's monotonic clock, in nanoseconds
	Sent       int64      `json:"s,omitempty"` // Committed: when the commit was sent, of the same clock
	Partitions []int32    `json:"p,omitempty"` // Assigned, Revoked, Lost
	Records    []Record   `json:"r,omitempty"`
	Offsets    [][2]int64 `json:"o,omitempty"` // Committed: partition and the offset to read next
	Why        string     `json:"why,omitempty"`
}

// Record is partition, offset, and what the value holds: a key and the number of the record within its key.
type Record [4]int64

// Now reads the machine's monotonic clock (CLOCK_MONOTONIC), which all processes share, in nanoseconds.
func Now() int64 {
	var ts syscall.Timespec
	_, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&ts)), 0)
	if errno != 0 {
		panic(errno) // the clock is there on every Linux
	}
	return ts.Nano()
}

// Printer writes events; it may be used from several goroutines.
type Printer struct {
	mu  sync.Mutex
	out *json.Encoder
}

// NewPrinter prints to w.
func NewPrinter(w io.Writer) *Printer { return &Printer{out: json.NewEncoder(w)} }

// Say prints e, with the time. Whoever reads is gone when it fails, so the program ends then.
func (p *Printer) Say(e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.At = Now()
	if err := p.out.Encode(e); err != nil {
		os.Exit(1)
	}
}

// ToldToEnd is closed when standard input ends.
func ToldToEnd() <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	return ended
}
