package main

import (
	"fmt"
	"net"
	"regexp"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// reconnecting tells somebody whose produce or consume stands still why: the client itself retries without a
// word. mu guards the fields below it.
type reconnecting struct {
	*cli
	mu   sync.Mutex
	ever bool   // a connection was made
	down bool   // it was said that the broker is gone
	code string // of the refusal that was told last; "": none
}

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (r *reconnecting) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := net.JoinHostPort(meta.Host, fmt.Sprint(meta.Port))
	switch {
	case err == nil && r.down:
		fmt.Fprintf(r.err, "connected to %s again\n", at)
		r.down = false
	case err == nil:
		r.ever = true
	case r.ever && !r.down: // before the first connection it is an error of the command
		fmt.Fprintf(r.err, "lost %s: %s; trying again\n", at, causeOf(err))
		r.down = true
	}
}

// Level and Log implement kgo.Logger: only its debug messages have why a broker puts records off.
func (r *reconnecting) Level() kgo.LogLevel { return kgo.LogLevelDebug }

var putOff = regexp.MustCompile(`retrying@[^(]*\(([A-Z_]+)`)

func (r *reconnecting) Log(_ kgo.LogLevel, msg string, keyvals ...any) {
	if msg != "produced" || len(keyvals) == 0 {
		return
	}
	text, _ := keyvals[len(keyvals)-1].(string)
	refusal := putOff.FindStringSubmatch(text)
	if refusal == nil || refusal[1] != kerr.KafkaStorageError.Message { // others pass by themselves
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.code == refusal[1] {
		return
	}
	r.code = refusal[1]
	fmt.Fprintf(r.err, "the broker puts records off: %s; trying again\n", r.refusal())
}

// refusal is code in words. mu must be held.
func (r *reconnecting) refusal() string {
	if r.code == kerr.KafkaStorageError.Message {
		return "its disk is nearly full, or the partition's files are damaged (" + r.code + ")"
	}
	return r.code
}

// why is the last refusal told, for an error; "": there was none.
func (r *reconnecting) why() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.code == "" {
		return ""
	}
	return ": " + r.refusal()
}
