package controller

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/hashicorp/raft"
)

var errNotBuilt = errors.New("not built yet")

// Found makes the directory of the broker that founds a new cluster, which one of its first brokers does.
func Found(dir, clusterID string, founders []Broker, self Broker) error { return errNotBuilt }

// Enroll makes the directory of a member that waits to be told of the group. self.Incarnation must be set.
func Enroll(dir string, self Broker) error { return errNotBuilt }

// Exists tells whether dir was founded or enrolled.
func Exists(dir string) (bool, error) { return exists(dir) }

// Ready waits for an image in which this broker is registered as given to Open, and that has all that this broker has ever seen.
func (c *Controller) Ready(ctx context.Context) error { return nil }

// HandleCommand answers Options.Forward of another broker.
func (c *Controller) HandleCommand(ctx context.Context, from raft.ServerID, body []byte) ([]byte, error) {
	return nil, errNotBuilt
}

// JoinRequest is the body for HandleJoin on any broker of the cluster.
func JoinRequest(self Broker) ([]byte, error) { return json.Marshal(self) }

// HandleJoin registers a broker, new or with a new incarnation, address or rack, and has it join the controller group.
func (c *Controller) HandleJoin(ctx context.Context, from raft.ServerID, body []byte) ([]byte, error) {
	return nil, errNotBuilt
}

// Leads says whether this broker is the controller.
func (c *Controller) Leads() bool { return c.raft.State() == raft.Leader }

// Transfer hands the leadership of the controller group to a voter; -1: to the one that is furthest.
func (c *Controller) Transfer(ctx context.Context, to int32) error { return errNotBuilt }

// CallElection has this voter stand for election, unless it leads.
func (c *Controller) CallElection() {}

// State is what a member of the controller group is.
type State byte

// The states of a member.
const (
	Follower State = iota
	Candidate
	Leader
	Learner // it has no vote
)

// Status is what the elector needs to know of the controller group on this broker.
type Status struct {
	State           State
	Serves          bool          // it leads, and all that came before its term is in Image
	Leader          raft.ServerID // "": nobody is known
	Term            uint64
	LastIndex       uint64
	LastTerm        uint64
	Applied         uint64
	Voters          []raft.ServerID // of the newest configuration; not to be changed
	Learners        []raft.ServerID
	ConfigIndex     uint64
	ConfigCommitted bool
	Fresh           bool // the log has nothing but what the cluster was founded with
}

// Status waits for nobody.
func (c *Controller) Status() Status { return Status{} }
