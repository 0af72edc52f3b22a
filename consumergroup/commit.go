package consumergroup

import (
	"fmt"
	"unicode/utf8"

	"github.com/quirelog/quire/consumergroup/consumer"
	"github.com/quirelog/quire/consumergroup/journal"
	"github.com/quirelog/quire/consumergroup/offsets"
	"github.com/quirelog/quire/consumergroup/step"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commitOverhead is what the entry of a commit takes at most beside its strings.
const commitOverhead = 128

// offsetCommit: partitions that do not exist or whose metadata is too long are refused one by one; the group and the member's epoch are
// judged for the others together, and only if there are any.
//
// Versions: 0 has no member, 2 to 4 a retention time, 6 a leader epoch, 7 static members, 9 members of consumer groups, 10 topic ids.
func (r *registry) offsetCommit(s *step.Step, c *step.Call, req *kmsg.OffsetCommitRequest) {
	resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
	commits := r.readCommit(s, req, resp)
	var g *group
	if len(commits) > 0 {
		var err error
		if g, err = r.mayCommit(s, req, commits); err != nil {
			refuseRest(resp, step.Code(err))
			s.Reply(c, resp)
			return
		}
		if err := r.commitRoom(g, req, commits); err != nil {
			refuseRest(resp, step.Code(err))
			commits = nil
		}
	}
	for _, e := range commits {
		s.Write(e)
		g.offsets.Apply(e)
	}
	s.Reply(c, resp)
	if g != nil {
		r.settle(s, g)
	}
}

// readCommit fills in the response, with an error for what cannot be committed whoever asks, and makes the entries of the rest. They have the id of
// their topic, also where it was named: so an offset never counts for a later topic of the name.
func (r *registry) readCommit(
	s *step.Step, req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse,
) (commits []*journal.OffsetCommit) {
	topics := r.c.o.Topics()
	expires := int64(-1)
	if req.Version >= 2 && req.Version <= 4 && req.RetentionTimeMillis != -1 {
		expires = s.Now.UnixMilli() + req.RetentionTimeMillis
	}
	resp.Topics = make([]kmsg.OffsetCommitResponseTopic, len(req.Topics))
	for i := range req.Topics {
		asked, answer := &req.Topics[i], &resp.Topics[i]
		answer.Topic, answer.TopicID = asked.Topic, asked.TopicID
		answer.Partitions = make([]kmsg.OffsetCommitResponseTopicPartition, len(asked.Partitions))
		topic, err := named(topics, asked.Topic, asked.TopicID, req.Version >= 10)
		for j := range asked.Partitions {
			p, pa := &asked.Partitions[j], &answer.Partitions[j]
			pa.Partition = p.Partition
			if err == nil {
				pa.ErrorCode = step.Code(r.checkPartition(req.Group, p, topic))
			} else {
				pa.ErrorCode = step.Code(err)
			}
			if pa.ErrorCode != 0 {
				continue
			}
			both := new(struct { // one allocation in place of two
				e journal.OffsetCommit
				v kmsg.OffsetCommitValue
			})
			both.e = journal.OffsetCommit{Group: req.Group, Topic: topic.Name, Partition: p.Partition, Value: &both.v}
			both.v = kmsg.OffsetCommitValue{
				Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, CommitTimestamp: s.Now.UnixMilli(), ExpireTimestamp: expires, TopicID: topic.ID,
			}
			if p.Metadata != nil {
				both.v.Metadata = *p.Metadata
			}
			commits = append(commits, &both.e)
		}
	}
	return commits
}

// named finds a topic by name or by id.
func named(topics consumer.Topics, name string, id [16]byte, byID bool) (consumer.Topic, error) {
	if byID {
		if t, ok := topics.ByID(id); ok {
			return t, nil
		}
		return consumer.Topic{}, kerr.UnknownTopicID
	}
	if t, ok := topics.Topic(name); ok {
		return t, nil
	}
	return consumer.Topic{}, kerr.UnknownTopicOrPartition
}

// checkPartition also refuses what no batch of the journal could hold, so that a commit is only ever written whole.
func (r *registry) checkPartition(group string, p *kmsg.OffsetCommitRequestTopicPartition, t consumer.Topic) error {
	metadata := ""
	if p.Metadata != nil {
		metadata = *p.Metadata
	}
	switch {
	case p.Partition < 0 || int(p.Partition) >= t.Partitions:
		return kerr.UnknownTopicOrPartition
	case tooLong(metadata, r.c.o.MaxOffsetMetadata), len(metadata) > maxName, len(group)+len(t.Name)+len(metadata) > r.c.o.MaxBatch-commitOverhead:
		return kerr.OffsetMetadataTooLarge
	}
	return nil
}

// tooLong counts characters, and only where there are more bytes than that.
func tooLong(s string, limit int) bool { return len(s) > limit && utf8.RuneCountInString(s) > limit }

// mayCommit is the group that a commit belongs to, which is made where the commit comes from outside any group.
func (r *registry) mayCommit(s *step.Step, req *kmsg.OffsetCommitRequest, commits []*journal.OffsetCommit) (*group, error) {
	g := r.groups[req.Group]
	switch {
	case g == nil && req.Generation < 0:
		return r.create(req.Group)
	case g == nil && req.Version >= 9:
		return nil, fmt.Errorf("there is no group %q: %w", req.Group, kerr.GroupIDNotFound)
	case g == nil:
		return nil, fmt.Errorf("there is no group %q: %w", req.Group, kerr.IllegalGeneration)
	case g.consumer == nil:
		return g, g.classic.CheckCommit(s, req.MemberID, req.InstanceID, req.Generation)
	}
	check, err := g.consumer.CheckCommit(req.MemberID, req.Generation, req.Version)
	if err != nil || check == nil {
		return g, err
	}
	for _, e := range commits {
		if err := check(e.Value.TopicID, e.Partition); err != nil {
			return g, err
		}
	}
	return g, nil
}

// refuseRest says code for every partition that nothing else is wrong with.
func refuseRest(resp *kmsg.OffsetCommitResponse, code int16) {
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			if p := &resp.Topics[i].Partitions[j]; p.ErrorCode == 0 {
				p.ErrorCode = code
			}
		}
	}
}

// offsetDelete: the offsets of a topic that a member reads stay.
func (r *registry) offsetDelete(s *step.Step, c *step.Call, req *kmsg.OffsetDeleteRequest) {
	g := r.groups[req.Group]
	if err := deletable(g); err != nil {
		s.Fail(c, err)
		return
	}
	resp := req.ResponseKind().(*kmsg.OffsetDeleteResponse)
	topics := r.c.o.Topics()
	var forget []offsets.Partition
	for i := range req.Topics {
		asked := &req.Topics[i]
		answer := kmsg.NewOffsetDeleteResponseTopic()
		answer.Topic = asked.Topic
		topic, err := named(topics, asked.Topic, [16]byte{}, false)
		for j := range asked.Partitions {
			p := kmsg.NewOffsetDeleteResponseTopicPartition()
			p.Partition = asked.Partitions[j].Partition
			switch {
			case err != nil || p.Partition < 0 || int(p.Partition) >= topic.Partitions:
				p.ErrorCode = kerr.UnknownTopicOrPartition.Code
			case g.subscribedTo(asked.Topic):
				p.ErrorCode = kerr.GroupSubscribedToTopic.Code
			default:
				if _, ok := g.offsets.Get(asked.Topic, p.Partition); ok {
					forget = append(forget, offsets.Partition{Topic: asked.Topic, Partition: p.Partition})
				}
			}
			answer.Partitions = append(answer.Partitions, p)
		}
		resp.Topics = append(resp.Topics, answer)
	}
	g.forget(s, forget)
	s.Reply(c, resp)
	r.settle(s, g)
}

// deletable says whether single offsets of a group may be deleted: of a group with members only where it is known what they read.
func deletable(g *group) error {
	switch {
	case g == nil:
		return kerr.GroupIDNotFound
	case g.consumer == nil && !g.classic.Empty() && g.classic.ProtocolType() != consumerProtocol:
		return kerr.NonEmptyGroup
	}
	return nil
}
