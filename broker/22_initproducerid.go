package broker

import (
	"context"
	"fmt"
	"sync"

	"github.com/quirelog/quire/replication/controller"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// InitProducerId (22), versions 0 to 5. 2: flexible. 3: the producer's old id and epoch (KIP-360). Idempotent producers
// without a transactional id always get a new id with epoch 0, as from Kafka.

// producerIDBlock is how many producer ids a broker reserves at once.
const producerIDBlock = 1000

// producerIDs hands out ids from the block that this broker has reserved.
type producerIDs struct {
	mu   sync.Mutex
	next int64
	left int32
}

// take returns an id that nobody else gets.
func (p *producerIDs) take(ctx context.Context, c *controller.Controller) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 0 {
		first, err := c.ProducerIDs(ctx, producerIDBlock)
		if err != nil {
			return 0, fmt.Errorf("reserve producer ids: %w", err)
		}
		p.next, p.left = first, producerIDBlock
	}
	id := p.next
	p.next++
	p.left--
	return id, nil
}

func startInitProducerID(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.InitProducerIDRequest)
	return func(ctx context.Context) reply {
		resp := kmsg.NewPtrInitProducerIDResponse()
		resp.Version = req.Version
		id, err := b.initProducerID(ctx, req)
		if err != nil {
			resp.ErrorCode = errorCode(err)
			resp.ProducerID, resp.ProducerEpoch = -1, -1
			return reply{msg: resp}
		}
		resp.ProducerID, resp.ProducerEpoch = id, 0
		return reply{msg: resp}
	}
}

func (b *Broker) initProducerID(ctx context.Context, req *kmsg.InitProducerIDRequest) (int64, error) {
	switch {
	case req.TransactionalID != nil && *req.TransactionalID == "":
		return 0, fmt.Errorf("%w: the transactional id is empty", errInvalidRequest)
	case req.TransactionalID != nil:
		return 0, errTransactional
	case req.Version >= 3 && (req.ProducerID == -1) != (req.ProducerEpoch == -1):
		return 0, fmt.Errorf("%w: producer id and epoch belong together", errInvalidRequest)
	}
	return b.producerIDs.take(ctx, b.controller)
}
