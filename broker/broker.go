// Package broker is the server: listeners, request dispatch with one file an API key, configuration, metrics and wiring.
package broker

import (
	"context"
	"log/slog"

	"github.com/quirelog/quire/broker/config"
	"github.com/quirelog/quire/partition"
	"github.com/quirelog/quire/replication/controller"
)

// Broker is a running broker.
type Broker struct {
	cfg        config.Config
	log        *slog.Logger
	controller *controller.Controller
	partitions *partition.Manager
	clusterID  string

	dispatch *dispatch
	metrics  *metrics
	kafka    *listener
	stopping chan struct{} // closed when Close begins: long polls end
}

// Options of Start beside the configuration.
type Options struct {
	Logger  *slog.Logger // nil: discards
	Version string       // as `quire version` prints it
	// OnFatal is told when the broker can no longer keep its promises (a failed fsync): the process must end at once.
	OnFatal func(error)
}

// Start opens the data directory, listens and serves. It returns when requests are answered (ready).
func Start(ctx context.Context, cfg config.Config, o Options) (*Broker, error) { panic("unimplemented") }

// Addr is the Kafka listener's address, HTTPAddr the admin listener's ("" when there is none).
func (b *Broker) Addr() string { panic("unimplemented") }

// HTTPAddr is the admin listener's address; "" when there is none.
func (b *Broker) HTTPAddr() string { panic("unimplemented") }

// Close stops listening, finishes what is under way until ctx ends, and closes partitions cleanly.
func (b *Broker) Close(ctx context.Context) error { panic("unimplemented") }
