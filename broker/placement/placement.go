// Package placement decides where replicas lie and who of them leads, and brings the Raft groups there.
//
// Place and the Plan functions are arithmetic over an image of the cluster's metadata. The Keeper runs on every broker, for
// the groups that it leads: next.go says what one group's configuration needs as its next change, balance.go which leaderships
// go to the preferred replica, both without I/O or clock; keeper.go looks and acts. What it needs of the rest of the broker
// is in the interfaces of this file.
package placement

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/replication/controller"
	"github.com/quirelog/quire/segment"
)

// ID names a partition by topic id.
type ID = replication.GroupID

// ServerID names a broker's incarnation in the Raft groups.
type ServerID = replication.ServerID

// Errors that callers decide on.
var (
	ErrTooFewBrokers = errors.New("fewer brokers than replicas")
	ErrNotNeeded     = errors.New("the preferred replica leads already")
	ErrNoPreferred   = errors.New("the preferred replica is not alive and in sync")
	ErrNoLeader      = errors.New("the partition has no leader that could hand over")
	ErrUnknown       = errors.New("no such partition")
	ErrNotFenced     = errors.New("the replica is not fenced")
	ErrMalformedCall = errors.New("malformed call from a broker")
)

// Group is one partition's Raft group on this broker: *replication.Group. What changes it may be called only while it leads; one
// change at a time.
type Group interface {
	Status() replication.Status // waits for nothing
	// Match is how far a member's log is known to agree with the leader's, and when that last was its end.
	Match(id ServerID) (segment.Index, time.Time)
	AddLearner(ctx context.Context, id ServerID) error
	Promote(ctx context.Context, id ServerID) error
	Remove(ctx context.Context, id ServerID) error
	// Transfer stops serving and hands the leadership over; where that fails the server leads and serves again.
	Transfer(ctx context.Context, to ServerID) error
}

var _ Group = (*replication.Group)(nil)

// Groups are the partition groups of this broker.
type Groups interface {
	Get(id ID) Group // nil: not open here
	// Each calls f for every open group until it returns false. It locks nothing that f would need.
	Each(f func(ID, Group) bool)
	// Changed is closed at the next change of who of them leads, of a configuration, or of what is open; it may be closed
	// also for less. nil: look now and then.
	Changed() <-chan struct{}
	// Reset replaces a fenced replica by an empty one that joins. ErrNotFenced where it is not fenced (any more).
	Reset(ctx context.Context, id ID, reason string) error
}

// Controller is the cluster's metadata: *controller.Controller.
type Controller interface {
	Image() *controller.Image
	Changed(i *controller.Image) <-chan struct{}
	Leads() bool // this broker leads the controller group
	// Reassign returns an error for each move, or one for all.
	Reassign(ctx context.Context, moves []Move) ([]error, error)
	// CompleteReassignment makes target the replicas; an error where something else is wanted meanwhile.
	CompleteReassignment(ctx context.Context, topic controller.TopicID, partition int32, target []int32) error
	// Transfer hands the leadership of the controller group to a voter; -1: to any.
	Transfer(ctx context.Context, to int32) error
}

var _ Controller = (*controller.Controller)(nil)

// Peers are the brokers of the cluster, this one included.
type Peers interface {
	Alive(id ServerID) bool // this server: true
	// Leader is the broker that leads a partition as far as is known; -1: nobody.
	Leader(id ID) int32
	// Fenced are the replicas that brokers told of as fenced, with the reason. The map is shared and never written again.
	Fenced() map[Replica]string
	// Changed is closed at the next change of any of that.
	Changed() <-chan struct{}
	// The calls below reach the Keeper's handler of the same name there. Bodies have at most MaxCallBytes.
	CallTransfer(ctx context.Context, to ServerID, body []byte) ([]byte, error)
	CallReset(ctx context.Context, to ServerID, body []byte) ([]byte, error)
	CallReplicas(ctx context.Context, to ServerID, body []byte) ([]byte, error)
}

// Replica is one server's replica of one partition.
type Replica struct {
	Server    ServerID
	Partition ID
}

// Move says where the replicas of a partition are to be, the preferred leader first. nil replicas: what is under way is to be taken back.
type Move = controller.Reassignment

// Options of New.
type Options struct {
	Self       ServerID
	Groups     Groups
	Controller Controller
	Peers      Peers
	Internal   func(topic string) bool // topics that get min(3, brokers) replicas by themselves; nil: none
	NoBalance  bool                    // leaderships stay where they are (auto.leader.rebalance.enable=false)
	Now        func() time.Time        // nil: time.Now
	Logger     *slog.Logger            // nil: discards
}

// ServerOf names a broker in Raft groups.
func ServerOf(b controller.Broker) ServerID {
	return ServerID(strconv.Itoa(int(b.ID)) + "-" + b.Incarnation)
}
