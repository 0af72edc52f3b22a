package broker

import (
	"context"
	"fmt"

	"github.com/quirelog/quire/consumergroup"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// FindCoordinator (10), versions 0 to 6. 1: the key's type, and an error message. 3: flexible. 4: several keys (KIP-699). 6: share groups. The journal of
// consumer groups is made when somebody first asks for a coordinator. There are no transactions yet: a transactional id is refused with what every client
// takes for final, so that a transactional producer fails at once.

// The types of keys.
const (
	coordinatorOfGroup       = 0
	coordinatorOfTransaction = 1
)

func startFindCoordinator(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.FindCoordinatorRequest)
	return func(ctx context.Context) reply {
		ctx, cancel := context.WithTimeout(ctx, autoCreateWait)
		defer cancel()
		resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
		if req.Version < 4 {
			one := b.findCoordinator(ctx, r.conn, req.CoordinatorType, req.CoordinatorKey)
			resp.ErrorCode, resp.ErrorMessage, resp.NodeID, resp.Host, resp.Port = one.ErrorCode, one.ErrorMessage, one.NodeID, one.Host, one.Port
			return reply{msg: resp}
		}
		for _, key := range req.CoordinatorKeys {
			resp.Coordinators = append(resp.Coordinators, b.findCoordinator(ctx, r.conn, req.CoordinatorType, key))
		}
		return reply{msg: resp}
	}
}

func (b *Broker) findCoordinator(ctx context.Context, c *conn, kind int8, key string) kmsg.FindCoordinatorResponseCoordinator {
	found := kmsg.NewFindCoordinatorResponseCoordinator()
	found.Key, found.NodeID, found.Port = key, -1, -1
	var err error
	switch kind {
	case coordinatorOfGroup:
		err = b.findGroupCoordinator(ctx, c, &found)
	case coordinatorOfTransaction:
		err = errTransactional
	default:
		err = fmt.Errorf("%w: coordinators of type %d", errInvalidRequest, kind)
	}
	found.ErrorCode, found.ErrorMessage = errorFields(err)
	return found
}

// findGroupCoordinator fills in the leader of the group's partition of the journal. Where that is this broker, it coordinates the group by then.
func (b *Broker) findGroupCoordinator(ctx context.Context, c *conn, found *kmsg.FindCoordinatorResponseCoordinator) error {
	v, journal, err := b.groups.journal(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoCoordinator, err)
	}
	n := consumergroup.PartitionFor(found.Key, len(journal.Partitions))
	s := b.partitionState(v, journal, n)
	if s.err != nil {
		return fmt.Errorf("%w: %w", errNoCoordinator, s.err)
	}
	if s.leader == b.cfg.NodeID {
		if err := b.groups.awaitLeading(ctx, n); err != nil {
			return fmt.Errorf("%w: %w", errNoCoordinator, err)
		}
	}
	found.NodeID = s.leader
	found.Host, found.Port = b.endpoint(c, v.Brokers[s.leader])
	return nil
}
