package consumergroup

import (
	"github.com/quirelog/quire/consumergroup/offsets"
	"github.com/quirelog/quire/consumergroup/step"
)

// expire forgets what has expired of a group (KIP-211), and the group itself where it has neither members nor offsets left. A group with
// members loses offsets of topics that they do not read, if it is known what they read.
func (r *registry) expire(s *step.Step, g *group) {
	e := offsets.Expiry{Now: s.Now, Retention: r.c.o.OffsetsRetention}
	switch {
	case g.empty() && g.consumer != nil:
		if e.Since = g.consumer.EmptySince(); e.Since.IsZero() {
			e.Since = r.loaded // the journal does not say: rather too long than too short
		}
	case g.empty():
		e.Since = g.classic.EmptySince()
	case g.consumer != nil, g.classic.State() == "Stable" && g.classic.ProtocolType() == consumerProtocol:
		e.Subscribed = g.subscribedTo
	default:
		return
	}
	g.forget(s, g.offsets.Expired(e))
	if g.empty() && g.offsets.Len() == 0 {
		r.erase(s, g)
	}
}

// forgetTopics forgets the offsets of topics that are gone, but not those that were committed for a topic that was made under the name since.
func (r *registry) forgetTopics(s *step.Step, g *group, names []string) {
	topics := r.c.o.Topics()
	var gone []offsets.Partition
	for _, name := range names {
		now, _ := topics.Topic(name)
		for p, c := range g.offsets.Topic(name) {
			if now.ID == [16]byte{} || c.TopicID != now.ID {
				gone = append(gone, offsets.Partition{Topic: name, Partition: p})
			}
		}
	}
	if len(gone) > 0 {
		g.forget(s, gone)
		r.settle(s, g)
	}
}
