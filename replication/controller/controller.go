// Package controller keeps the cluster's metadata (topics with their ids, configurations, brokers, producer id blocks) as a
// Raft group of its own on raft-boltdb: commands in, an immutable image out.
package controller

import (
	"context"
	"errors"
	"log/slog"
)

// TopicID is a topic's UUID. A topic that is deleted and made again gets another one.
type TopicID [16]byte

// Image is the cluster's metadata at one point of the controller's log. It never changes: read it through one pointer.
type Image struct {
	Version       uint64 // index in the controller's log
	ClusterID     string
	Topics        map[string]*Topic
	TopicsByID    map[TopicID]*Topic
	Brokers       map[int32]Broker
	BrokerConfigs map[int32]map[string]string // dynamic broker configuration; key -1 is the cluster-wide default
}

// Topic is one topic of an image.
type Topic struct {
	Name       string
	ID         TopicID
	Partitions []Partition       // by partition number
	Configs    map[string]string // only what was set, values as Kafka spells them
}

// Partition is one partition of a topic.
type Partition struct {
	Replicas []int32 // broker ids, the preferred leader first
}

// Broker is one registered broker.
type Broker struct {
	ID          int32
	Host        string // as clients dial it
	Port        int32
	Rack        string
	RPCAddr     string
	Incarnation string
}

// Errors that callers decide on.
var (
	ErrTopicExists   = errors.New("topic exists already")
	ErrUnknownTopic  = errors.New("no such topic")
	ErrNotController = errors.New("this broker is not the controller")
	ErrTimeout       = errors.New("the controller did not answer in time")
	ErrPartitions    = errors.New("partition count can only grow")
)

// Options of Open.
type Options struct {
	Dir       string // raft.db and the snapshots lie here
	Self      Broker
	ClusterID string       // of a cluster that this broker founds; "": made up
	Logger    *slog.Logger // nil: discards
}

// Controller is this broker's member of the controller group.
type Controller struct{}

// Open starts the group; without others configured this broker founds a cluster of its own. It returns once an image is there, which on a
// single broker takes milliseconds, and the broker itself is registered in it.
func Open(ctx context.Context, o Options) (*Controller, error) { panic("unimplemented") }

// Image is the newest image; it is never nil.
func (c *Controller) Image() *Image { panic("unimplemented") }

// Changed returns a channel that is closed when an image newer than i is there.
func (c *Controller) Changed(i *Image) <-chan struct{} { panic("unimplemented") }

// Leader is the broker id of the controller; -1: unknown.
func (c *Controller) Leader() int32 { panic("unimplemented") }

// NewTopic says what CreateTopic makes. The caller has validated names and configurations.
type NewTopic struct {
	Name       string
	Partitions []Partition
	Configs    map[string]string
}

// CreateTopic makes a topic with a new id and returns it. ErrTopicExists.
func (c *Controller) CreateTopic(ctx context.Context, t NewTopic) (*Topic, error) {
	panic("unimplemented")
}

// DeleteTopic removes a topic. ErrUnknownTopic.
func (c *Controller) DeleteTopic(ctx context.Context, id TopicID) error { panic("unimplemented") }

// AddPartitions appends partitions to a topic. ErrUnknownTopic, ErrPartitions when from is no longer the partition count.
func (c *Controller) AddPartitions(ctx context.Context, id TopicID, from int, add []Partition) error {
	panic("unimplemented")
}

// ConfigChange sets (Value not nil) or removes one configuration key.
type ConfigChange struct {
	Key   string
	Value *string
}

// AlterTopicConfigs applies all changes or none. ErrUnknownTopic.
func (c *Controller) AlterTopicConfigs(ctx context.Context, id TopicID, changes []ConfigChange) error {
	panic("unimplemented")
}

// AlterBrokerConfigs applies all changes or none; broker -1 is the cluster-wide default.
func (c *Controller) AlterBrokerConfigs(ctx context.Context, broker int32, changes []ConfigChange) error {
	panic("unimplemented")
}

// ProducerIDs reserves a block of n producer ids, unique for the life of the cluster, and returns the first.
func (c *Controller) ProducerIDs(ctx context.Context, n int32) (int64, error) { panic("unimplemented") }

// Close stops the group.
func (c *Controller) Close(ctx context.Context) error { panic("unimplemented") }
