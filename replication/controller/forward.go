package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// askQuorum is the body that asks the controller for its Quorum. All others are commands as the log has them, which begin with their type.
const askQuorum = "\x00"

// answer is what HandleCommand has to say: JSON, since brokers that do not know a field skip it.
type answer struct {
	Index      uint64     `json:"index,omitempty"` // of the command in the log; 0: it is not there
	Error      *failure   `json:"error,omitempty"`
	ProducerID int64      `json:"producer_id,omitempty"`
	Each       []*failure `json:"each,omitempty"`
	Quorum     *Quorum    `json:"quorum,omitempty"`
}

// failure is an error on its way between brokers: its text, and which of the errors that callers decide on it is.
type failure struct {
	Text string   `json:"text"`
	Are  []string `json:"are,omitempty"`
	errs []error
}

func (f *failure) Error() string   { return f.Text }
func (f *failure) Unwrap() []error { return f.errs }

// errorNames are part of the protocol between brokers.
var errorNames = map[string]error{
	"topic_exists":      ErrTopicExists,
	"unknown_topic":     ErrUnknownTopic,
	"not_controller":    ErrNotController,
	"timeout":           ErrTimeout,
	"partitions":        ErrPartitions,
	"unknown_broker":    ErrUnknownBroker,
	"unknown_partition": ErrUnknownPartition,
	"has_replicas":      ErrHasReplicas,
	"replicas":          ErrReplicas,
	"no_reassignment":   ErrNoReassignment,
	"other_target":      ErrOtherTarget,
	"id_in_use":         ErrIDInUse,
	"again":             errAgain,
}

func newFailure(err error) *failure {
	if err == nil {
		return nil
	}
	f := &failure{Text: err.Error()}
	for name, known := range errorNames {
		if errors.Is(err, known) {
			f.Are = append(f.Are, name)
		}
	}
	return f
}

// received is the error that newFailure was given, as far as callers can tell.
func (f *failure) received() error {
	if f == nil {
		return nil
	}
	for _, name := range f.Are {
		if known := errorNames[name]; known != nil {
			f.errs = append(f.errs, known)
		}
	}
	return f
}

// HandleCommand answers Options.Forward of another broker. Its own errors are those of a body that makes no sense.
func (c *Controller) HandleCommand(ctx context.Context, from raft.ServerID, body []byte) ([]byte, error) {
	var a answer
	if string(body) == askQuorum {
		q, err := c.quorumHere()
		a.Quorum, a.Error = &q, newFailure(err)
		return json.Marshal(a)
	}
	cmd, err := decodeCommand(body)
	if err != nil {
		return nil, fmt.Errorf("forwarded by %s: %w", from, err)
	}
	r, index, err := c.carryOut(ctx, from, cmd, body)
	a.Index, a.ProducerID, a.Error = index, r.producerID, newFailure(err)
	for _, err := range r.each {
		a.Each = append(a.Each, newFailure(err))
	}
	return json.Marshal(a)
}

// carryOut runs another broker's command through the log, if this broker leads.
func (c *Controller) carryOut(ctx context.Context, from raft.ServerID, cmd command, body []byte) (result, uint64, error) {
	if !c.begin() {
		return result{}, 0, fmt.Errorf("%w: broker %d is closing", errAgain, c.o.Self.ID)
	}
	defer c.calls.Done()
	if !c.Leads() {
		return result{}, 0, fmt.Errorf("%w: broker %d is not the controller", errAgain, c.o.Self.ID)
	}
	if err := c.mayPropose(from, cmd); err != nil {
		return result{}, 0, err
	}
	r, index, err := c.applyHere(ctx, body)
	c.poke() // the brokers may be others
	return r, index, err
}

// mayPropose refuses commands of brokers that are not of the cluster.
func (c *Controller) mayPropose(from raft.ServerID, cmd command) error {
	register, registers := cmd.(*registerBroker)
	switch {
	case cmd.kind() == typeFoundCluster:
		return errors.New("a cluster is founded once")
	case !registers && c.registered(from):
		return nil
	case c.served.Load() != c.raft.CurrentTerm():
		return fmt.Errorf("%w: broker %d has just become the controller", errAgain, c.o.Self.ID)
	case registers:
		return c.mayRegister(register.Broker)
	}
	return fmt.Errorf("broker %s: %w", from, ErrUnknownBroker)
}

// registered says whether a server is what its broker id is registered with.
func (c *Controller) registered(id raft.ServerID) bool {
	broker, incarnation, err := splitServerID(id)
	b, known := c.Image().Brokers[broker]
	return err == nil && known && b.Incarnation == incarnation
}

// forward has the leader carry out a command, and waits until this broker's image has it.
func (c *Controller) forward(ctx context.Context, leader raft.ServerID, cmd command, data []byte) (result, error) {
	a, err := c.call(ctx, leader, data)
	if err != nil {
		return result{}, err
	}
	switch err := a.Error.received(); {
	case a.Index > 0:
	case err == nil, errors.Is(err, ErrTimeout), errors.Is(err, ErrNotController):
		// It says what became of the time that this attempt had there, not of the caller's.
		return result{}, fmt.Errorf("%w: controller %s: %v", errAgain, leader, err)
	default:
		return result{}, err
	}
	if err := c.await(ctx, a.Index); err != nil {
		return result{}, err
	}
	r := result{producerID: a.ProducerID, err: a.Error.received()}
	for _, f := range a.Each {
		r.each = append(r.each, f.received())
	}
	if create, ok := cmd.(*createTopic); ok && r.err == nil {
		if r.topic = c.Image().TopicsByID[create.Topic.ID]; r.topic == nil { // deleted since
			r.topic = &create.Topic
		}
	}
	return r, r.err
}

// call asks another broker, until it is not the leader any more. errAgain when there is no answer.
func (c *Controller) call(ctx context.Context, leader raft.ServerID, body []byte) (answer, error) {
	var a answer
	inTime, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	c.calls.Go(func() { c.endWith(inTime, leader, cancel) })
	reply, err := c.o.Forward(inTime, leader, body)
	if err == nil {
		err = json.Unmarshal(reply, &a)
	}
	switch {
	case ctx.Err() != nil:
		return a, timeout(ctx)
	case err != nil:
		return a, fmt.Errorf("%w: controller %s: %w", errAgain, leader, err)
	}
	return a, nil
}

// endWith cancels a call when leader does not lead any more, or this controller is closed.
func (c *Controller) endWith(ctx context.Context, leader raft.ServerID, cancel func()) {
	defer cancel()
	for {
		roles := c.rolesChanged()
		if c.leader() != leader {
			return
		}
		select {
		case <-roles:
		case <-c.closed:
			return
		case <-ctx.Done():
			return
		}
	}
}

// await waits until the image has the command at index.
func (c *Controller) await(ctx context.Context, index uint64) error {
	for i := c.Image(); i.Version < index; i = c.Image() {
		select {
		case <-c.Changed(i):
		case <-c.fsm.stopped:
			return c.fsm.stopErr
		case <-c.closed:
			return fmt.Errorf("%w: it is closing", ErrTimeout)
		case <-ctx.Done():
			return timeout(ctx)
		}
	}
	return nil
}
