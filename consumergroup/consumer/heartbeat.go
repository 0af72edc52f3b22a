package consumer

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Heartbeat handles a *kmsg.ConsumerGroupHeartbeatRequest. One that changes nothing writes nothing. What is refused has written nothing either.
func (g *Group) Heartbeat(s *step.Step, c *step.Call, t Topics) {
	resp, err := g.heartbeat(s, c, t)
	if err != nil {
		s.Fail(c, err)
		return
	}
	s.Reply(c, resp)
}

func (g *Group) heartbeat(s *step.Step, c *step.Call, t Topics) (*kmsg.ConsumerGroupHeartbeatResponse, error) {
	r := c.Request.(*kmsg.ConsumerGroupHeartbeatRequest)
	if err := Check(r); err != nil {
		return nil, err
	}
	if r.MemberEpoch < 0 {
		return g.leave(s, r, t)
	}
	if _, known := g.members[r.MemberID]; !known && g.full() {
		return nil, fmt.Errorf("group of %d members: %w", len(g.members), kerr.GroupMaxSizeReached)
	}
	before, err := g.find(r)
	if err != nil {
		return nil, err
	}
	desc := describe(before, c)
	if x := regexOf(desc); x != "" && g.patterns[x] == 0 {
		if err := checkRegex(x); err != nil {
			return nil, err
		}
	}
	id := r.MemberID
	if id == "" {
		id = g.newMemberID()
	}
	if err := g.checkSize(id, desc); err != nil {
		return nil, err
	}
	m, changed := g.describeAs(s, before, desc, id)
	g.subscribe(s, changed, t)
	g.retarget(s, t)
	had := m.assigned
	g.reconcile(s, m, r.Topics, changed.any(), t)
	g.extend(m, s.Now)

	resp := r.ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
	resp.MemberID, resp.MemberEpoch = kmsg.StringPtr(m.id), m.epoch
	resp.HeartbeatIntervalMillis = int32(g.timing().Heartbeat / time.Millisecond)
	full := r.RebalanceTimeoutMillis != -1 && (r.SubscribedTopicNames != nil || r.SubscribedTopicRegex != nil) && r.Topics != nil
	if r.MemberEpoch == 0 || full || !slices.Equal(had, m.assigned) {
		resp.Assignment = assignment(m.assigned)
	}
	return resp, nil
}

// find is the member that a heartbeat is about: nil for a new one; for a static member that comes back under a new id, the one that it replaces.
func (g *Group) find(r *kmsg.ConsumerGroupHeartbeatRequest) (*member, error) {
	if r.InstanceID != nil {
		return g.findStatic(r)
	}
	m := g.members[r.MemberID]
	if m == nil {
		if r.MemberEpoch == 0 {
			return nil, nil
		}
		return nil, fmt.Errorf("member %s: %w", r.MemberID, kerr.UnknownMemberID)
	}
	return m, checkMemberEpoch(m, r)
}

func (g *Group) findStatic(r *kmsg.ConsumerGroupHeartbeatRequest) (*member, error) {
	m, err := g.instance(*r.InstanceID, r.MemberID)
	switch {
	case r.MemberEpoch != 0 && err != nil:
		return nil, err
	case r.MemberEpoch != 0:
		return m, checkMemberEpoch(m, r)
	case m == nil:
		return g.members[r.MemberID], nil
	case m.desc.Classic == nil && m.epoch != paused && m.id != r.MemberID:
		// Kafka refuses even the member itself, which so is lost when the answer to its first heartbeat is.
		return nil, fmt.Errorf("instance id %s is owned by member %s: %w", *r.InstanceID, m.id, kerr.UnreleasedInstanceID)
	}
	return m, nil
}

// instance is the static member of an instance id, with an error where it is not the member with that id.
func (g *Group) instance(instance, id string) (*member, error) {
	m := g.members[g.instances[instance]]
	switch {
	case m == nil:
		return nil, fmt.Errorf("instance id %s: %w", instance, kerr.UnknownMemberID)
	case m.id != id:
		return m, fmt.Errorf("member %s was replaced by %s for instance id %s: %w", id, m.id, instance, kerr.FencedInstanceID)
	}
	return m, nil
}

// describe is how a member is described after a heartbeat; the description that it has where nothing changed. What a heartbeat leaves out stays.
func describe(m *member, c *step.Call) *journal.MemberValue {
	r, old := c.Request.(*kmsg.ConsumerGroupHeartbeatRequest), m.description()
	d := *old
	d.ClientID, d.ClientHost, d.Classic = c.ClientID, c.ClientHost, nil
	d.InstanceID = override(d.InstanceID, r.InstanceID)
	d.RackID = override(d.RackID, r.RackID)
	d.Assignor = override(d.Assignor, r.ServerAssignor)
	d.Regex = override(d.Regex, r.SubscribedTopicRegex)
	if r.RebalanceTimeoutMillis != -1 {
		d.RebalanceTimeoutMs = r.RebalanceTimeoutMillis
	}
	if r.SubscribedTopicNames != nil {
		d.Topics = sortedSet(r.SubscribedTopicNames)
	}
	if m != nil && sameDescription(old, &d) {
		return old
	}
	return &d
}

func override(old, said *string) *string {
	if said == nil || old != nil && *old == *said {
		return old
	}
	return said
}

// sameDescription compares two descriptions of which b was made from a: what is equal is shared.
func sameDescription(a, b *journal.MemberValue) bool {
	return a.ClientID == b.ClientID && a.ClientHost == b.ClientHost && a.Classic == b.Classic && a.InstanceID == b.InstanceID && a.RackID == b.RackID &&
		a.Assignor == b.Assignor && a.Regex == b.Regex && a.RebalanceTimeoutMs == b.RebalanceTimeoutMs && slices.Equal(a.Topics, b.Topics)
}

// describeAs writes what is new about a member: before is nil for a new one, or another one that it replaces.
func (g *Group) describeAs(s *step.Step, before *member, desc *journal.MemberValue, id string) (*member, change) {
	was := before.description()
	if before != nil && before.id != id {
		g.replace(s, before, id)
	}
	if desc != was {
		g.write(s, &journal.Member{Group: g.id, Member: id, Value: desc})
	}
	return g.members[id], changeOf(was, desc)
}

// replace gives a static member that comes back what the one it was had; its partitions count as given in epoch 0.
func (g *Group) replace(s *step.Step, m *member, id string) {
	target, c := g.targets[m.id], m.current
	c.epoch, c.previous = 0, 0
	g.remove(s, m.id)
	g.write(s, &journal.Member{Group: g.id, Member: id, Value: m.desc})
	g.write(s, g.targetEntry(id, target))
	g.write(s, g.currentEntry(id, c))
}

// leave handles a member that goes for good (-1), or a static one that goes for a while (-2): until its session ends nobody gets its partitions.
func (g *Group) leave(s *step.Step, r *kmsg.ConsumerGroupHeartbeatRequest, t Topics) (*kmsg.ConsumerGroupHeartbeatResponse, error) {
	m, err := g.members[r.MemberID], error(nil)
	if r.InstanceID != nil {
		m, err = g.instance(*r.InstanceID, r.MemberID)
	} else if m == nil {
		err = fmt.Errorf("member %s: %w", r.MemberID, kerr.UnknownMemberID)
	}
	if err != nil {
		return nil, err
	}
	if r.InstanceID != nil && r.MemberEpoch == paused {
		c := current{epoch: paused, previous: m.previous, state: m.state, assigned: slices.Clone(m.assigned)}
		for i := range c.assigned {
			c.assigned[i].since = 0
		}
		g.write(s, g.currentEntry(m.id, c))
		m.rebalance = time.Time{}
	} else {
		g.fence(s, t, m)
	}
	resp := r.ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
	resp.MemberID, resp.MemberEpoch = kmsg.StringPtr(r.MemberID), r.MemberEpoch
	return resp, nil
}

func assignment(list []held) *kmsg.ConsumerGroupHeartbeatResponseAssignment {
	out := kmsg.NewConsumerGroupHeartbeatResponseAssignment()
	for i, h := range list {
		if i == 0 || list[i-1].topic != h.topic {
			topic := kmsg.NewConsumerGroupHeartbeatResponseAssignmentTopic()
			topic.TopicID = h.topic
			out.Topics = append(out.Topics, topic)
		}
		last := &out.Topics[len(out.Topics)-1]
		last.Partitions = append(last.Partitions, h.id)
	}
	return &out
}

// newMemberID is a random id as Kafka makes them: 128 bits in the URL's base64, never beginning with a dash.
func (g *Group) newMemberID() string {
	if unique := g.cfg.classic().UUID; unique != nil {
		return unique()
	}
	var id [16]byte
	rand.Read(id[:])
	id[0] &= 0x7f
	return base64.RawURLEncoding.EncodeToString(id[:])
}
