package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// AlterReplicaLogDirs (34), versions 0 to 2 (KIP-113). 1: throttling. 2: flexible. A broker has one data directory: what is
// to go there is there already, and there is no other.

func startAlterReplicaLogDirs(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.AlterReplicaLogDirsRequest)
	return func(context.Context) reply {
		resp := req.ResponseKind().(*kmsg.AlterReplicaLogDirsResponse)
		for i := range req.Dirs {
			here := req.Dirs[i].Dir == b.logDir()
			for _, t := range req.Dirs[i].Topics {
				rt := kmsg.NewAlterReplicaLogDirsResponseTopic()
				rt.Topic = t.Topic
				for _, n := range t.Partitions {
					rp := kmsg.NewAlterReplicaLogDirsResponseTopicPartition()
					rp.Partition, rp.ErrorCode = n, errorCode(b.checkMove(here, t.Topic, n))
					rt.Partitions = append(rt.Partitions, rp)
				}
				resp.Topics = append(resp.Topics, rt)
			}
		}
		return reply{msg: resp}
	}
}

// checkMove says what keeps a replica from being in this broker's directory (here) or in another one.
func (b *Broker) checkMove(here bool, topic string, n int32) error {
	if !here {
		return errNoLogDir
	}
	if b.partitions.Get(topic, n) == nil {
		return errUnknownTopic
	}
	return nil
}
