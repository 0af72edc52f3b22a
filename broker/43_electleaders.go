package broker

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ElectLeaders (43), versions 0 to 2 (KIP-183, KIP-460). 1: unclean elections beside those of the preferred leader. 2:
// flexible. While one broker is the cluster nobody else can be elected: what leads is the preferred leader, and what does
// not lead has no candidate.

// Election types.
const (
	electPreferred = 0
	electUnclean   = 1
)

func startElectLeaders(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.ElectLeadersRequest)
	return func(context.Context) reply {
		resp := req.ResponseKind().(*kmsg.ElectLeadersResponse)
		e := election{b: b, view: b.view(), unclean: req.ElectionType == electUnclean}
		if req.ElectionType != electPreferred && req.ElectionType != electUnclean {
			e.err = fmt.Errorf("%w: unknown election type %d", errInvalidRequest, req.ElectionType)
		}
		switch {
		case req.Topics != nil:
			for _, t := range req.Topics {
				resp.Topics = append(resp.Topics, e.topic(t.Topic, t.Partitions))
				resp.ErrorCode = errorCode(e.err)
			}
		case e.err != nil:
			resp.ErrorCode = errorCode(e.err)
		default:
			resp.Topics = e.all()
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
}

// all answers for every topic. As in Kafka partitions that need no election are left out.
func (e *election) all() []kmsg.ElectLeadersResponseTopic {
	var topics []kmsg.ElectLeadersResponseTopic
	for name, t := range e.view.Topics {
		numbers := make([]int32, len(t.Partitions))
		for n := range numbers {
			numbers[n] = int32(n)
		}
		rt := e.topic(name, numbers)
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
		rp.ErrorCode, rp.ErrorMessage = errorFields(e.elect(name, n))
		rt.Partitions = append(rt.Partitions, rp)
	}
	return rt
}

// elect says why there is no election; it never is nil.
func (e *election) elect(name string, n int32) error {
	if e.err != nil {
		return e.err
	}
	t, err := e.view.find(false, name, [16]byte{}, n)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %s-%d", err, name, n)
	case e.b.partitionState(e.view, t, n).leader >= 0:
		return errElectionNotNeeded
	case e.unclean:
		return errNoEligibleLeader
	}
	return errNoPreferredLeader
}
