package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/quirelog/quire/partition"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ElectLeaders (43), versions 0 to 2 (KIP-183, KIP-460). 1: unclean elections beside those of the preferred leader. 2: flexible. The
// preferred leader is handed the leadership by whoever has it. There is no unclean election: a replica that lacks acknowledged records is
// never made leader.

// Election types.
const (
	electPreferred = 0
	electUnclean   = 1
)

func startElectLeaders(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.ElectLeadersRequest)
	return func(ctx context.Context) reply {
		ctx, cancel := context.WithTimeout(ctx, max(milliseconds(req.TimeoutMillis), minElectWait))
		defer cancel()
		resp := req.ResponseKind().(*kmsg.ElectLeadersResponse)
		e := election{b: b, view: b.view(), unclean: req.ElectionType == electUnclean, outcome: map[partition.ID]error{}}
		if req.ElectionType != electPreferred && req.ElectionType != electUnclean {
			e.err = fmt.Errorf("%w: unknown election type %d", errInvalidRequest, req.ElectionType)
		}
		switch {
		case req.Topics != nil:
			e.run(ctx, req.Topics)
			for _, t := range req.Topics {
				resp.Topics = append(resp.Topics, e.topic(t.Topic, t.Partitions))
				resp.ErrorCode = errorCode(e.err)
			}
		case e.err != nil:
			resp.ErrorCode = errorCode(e.err)
		default:
			resp.Topics = e.all(ctx)
		}
		return reply{msg: resp}
	}
}

// election answers one request.
type election struct {
	b       *Broker
	view    *view
	unclean bool
	err     error // of the whole request
	outcome map[partition.ID]error
}

// run has the preferred leaders elected, side by side.
func (e *election) run(ctx context.Context, topics []kmsg.ElectLeadersRequestTopic) {
	if e.err != nil || e.unclean {
		return
	}
	ids := map[partition.ID]bool{}
	for _, t := range topics {
		for _, n := range t.Partitions {
			if found, err := e.view.find(false, t.Topic, [16]byte{}, n); err == nil {
				ids[partition.ID{Topic: found.ID, Partition: n}] = true
			}
		}
	}
	if len(ids) > 0 {
		e.outcome = e.b.keeper.Elect(ctx, slices.Collect(maps.Keys(ids)))
	}
}

// all answers for every topic. As in Kafka partitions that need no election are left out.
func (e *election) all(ctx context.Context) []kmsg.ElectLeadersResponseTopic {
	var asked []kmsg.ElectLeadersRequestTopic
	for name, t := range e.view.Topics {
		rt := kmsg.NewElectLeadersRequestTopic()
		rt.Topic = name
		for n := range t.Partitions {
			rt.Partitions = append(rt.Partitions, int32(n))
		}
		asked = append(asked, rt)
	}
	e.run(ctx, asked)
	var topics []kmsg.ElectLeadersResponseTopic
	for _, t := range asked {
		rt := e.topic(t.Topic, t.Partitions)
		rt.Partitions = slices.DeleteFunc(rt.Partitions, func(p kmsg.ElectLeadersResponseTopicPartition) bool {
			return p.ErrorCode == errorCode(errElectionNotNeeded)
		})
		topics = append(topics, rt)
	}
	return topics
}

func (e *election) topic(name string, partitions []int32) kmsg.ElectLeadersResponseTopic {
	rt := kmsg.NewElectLeadersResponseTopic()
	rt.Topic = name
	for _, n := range partitions {
		rp := kmsg.NewElectLeadersResponseTopicPartition()
		rp.Partition = n
		rp.ErrorCode, rp.ErrorMessage = errorFields(e.elected(name, n))
		rt.Partitions = append(rt.Partitions, rp)
	}
	return rt
}

// elected says why there was no election; nil where there was one.
func (e *election) elected(name string, n int32) error {
	if e.err != nil {
		return e.err
	}
	t, err := e.view.find(false, name, [16]byte{}, n)
	switch id := (partition.ID{Topic: t.id(), Partition: n}); {
	case err != nil:
		return fmt.Errorf("%w: %s-%d", err, name, n)
	case !e.unclean:
		return e.outcome[id]
	case e.b.leadOf(id).broker >= 0:
		return errElectionNotNeeded
	}
	return errNoEligibleLeader
}
