// Package step is what one step of a group's state machine is given and gives back. The machines have no clock, no goroutine and no
// I/O: the time and the request come in, entries for the journal and replies go out.
package step

import (
	"time"

	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Call is one client's request under way. It is answered exactly once, perhaps steps later: a join waits for the others.
type Call struct {
	Request    kmsg.Request // at its version; its memory belongs to the call
	ClientID   string
	ClientHost string // as Kafka shows it: "/127.0.0.1"
	// Answer delivers the response, from the goroutine of the journal partition. It must not block.
	Answer func(kmsg.Response)
}

// Reply is a call with its response.
type Reply struct {
	Call     *Call
	Response kmsg.Response
}

// Step collects what a step of a machine does. Replies are delivered in their order, once all entries of this and of earlier steps are
// committed; so a machine may show at once what it has only just written.
type Step struct {
	Now     time.Time
	Entries []journal.Entry
	Replies []Reply
}

// Write adds an entry to the journal.
func (s *Step) Write(e journal.Entry) { s.Entries = append(s.Entries, e) }

// Reply answers c.
func (s *Step) Reply(c *Call, r kmsg.Response) {
	s.Replies = append(s.Replies, Reply{Call: c, Response: r})
}
