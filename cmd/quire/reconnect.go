package main

import (
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// reconnecting tells somebody whose produce or consume stands still why: the client itself retries without a
// word. mu guards the fields below it.
type reconnecting struct {
	*cli
	mu   sync.Mutex
	ever bool // a connection was made
	down bool // it was said that the broker is gone
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
