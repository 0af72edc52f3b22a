package main

import (
	"cmp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
)

// groupView is one group in the answer of group describe. Numbers are -1 where they are not known.
type groupView struct {
	Group              string               `json:"group"`
	Type               string               `json:"type"` // classic or consumer (KIP-848)
	ProtocolType       string               `json:"protocol_type,omitempty"`
	State              string               `json:"state"`
	Assignor           string               `json:"assignor,omitempty"`
	Coordinator        int32                `json:"coordinator"`
	CoordinatorAddress string               `json:"coordinator_address"`
	Epoch              int32                `json:"epoch"`            // a classic group does not tell its generation: -1
	AssignmentEpoch    int32                `json:"assignment_epoch"` // below epoch while the group rebalances
	Lag                int64                `json:"lag"`              // records
	LagSeconds         float64              `json:"lag_seconds"`      // the largest of its partitions
	Members            []memberView         `json:"members"`
	Partitions         []groupPartitionView `json:"partitions"`
}

// memberView is a member of a group.
type memberView struct {
	Member     string   `json:"member"`
	InstanceID string   `json:"instance_id,omitempty"`
	Client     string   `json:"client"`
	Host       string   `json:"host"`
	Epoch      int32    `json:"epoch"`
	Topics     []string `json:"topics"` // it subscribes to
	Partitions int      `json:"partitions"`
}

// name is how a member is told from the others by a person.
func (m memberView) name() string {
	if m.InstanceID != "" {
		return m.InstanceID
	}
	return m.Member
}

// groupPartitionView is a partition that a group has committed an offset of, or that a member has.
type groupPartitionView struct {
	Topic      string  `json:"topic"`
	Partition  int32   `json:"partition"`
	Committed  int64   `json:"committed_offset"`
	Start      int64   `json:"log_start_offset"`
	End        int64   `json:"high_watermark"`
	Lag        int64   `json:"lag"`
	LagSeconds float64 `json:"lag_seconds"`    // the age of the first record that is not committed; 0: there is none
	Note       string  `json:"note,omitempty"` // why a number is not known
	Member     string  `json:"member,omitempty"`
	InstanceID string  `json:"instance_id,omitempty"`
	Client     string  `json:"client,omitempty"`
	Host       string  `json:"host,omitempty"`
}

func cmpPartition(t1 string, p1 int32, t2 string, p2 int32) int {
	return cmp.Or(strings.Compare(t1, t2), cmp.Compare(p1, p2))
}

// viewConsumerGroup is a group of the new protocol (KIP-848).
func viewConsumerGroup(d kadm.DescribedConsumerGroup) *groupView {
	g := newGroupView(d.Group, "consumer", d.State, d.AssignorName, d.Coordinator)
	g.ProtocolType, g.Epoch, g.AssignmentEpoch = "consumer", d.Epoch, d.AssignmentEpoch
	for _, m := range d.Members {
		topics := m.SubscribedTopics
		if m.SubscribedTopicRegex != nil && *m.SubscribedTopicRegex != "" {
			topics = append(slices.Clone(topics), "/"+*m.SubscribedTopicRegex+"/")
		}
		g.addMember(memberView{Member: m.MemberID, InstanceID: text(m.InstanceID), Client: m.ClientID, Host: hostOf(m.ClientHost),
			Epoch: m.MemberEpoch, Topics: topics}, m.Assignment)
	}
	return g
}

// viewClassicGroup is a group of the classic protocol. Of one that is not of consumers (Connect's workers) only the members are
// known.
func viewClassicGroup(d kadm.DescribedGroup) *groupView {
	g := newGroupView(d.Group, "classic", d.State, d.Protocol, d.Coordinator)
	g.ProtocolType = d.ProtocolType
	for _, m := range d.Members {
		v := memberView{Member: m.MemberID, InstanceID: text(m.InstanceID), Client: m.ClientID, Host: hostOf(m.ClientHost), Epoch: -1}
		if join, ok := m.Join.AsConsumer(); ok {
			v.Topics = join.Topics
		}
		assigned := kadm.TopicsSet{}
		if a, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range a.Topics {
				assigned.Add(t.Topic, t.Partitions...)
			}
		}
		g.addMember(v, assigned)
	}
	return g
}

func newGroupView(name, typ, state, assignor string, at kadm.BrokerDetail) *groupView {
	return &groupView{Group: name, Type: typ, State: state, Assignor: assignor, Coordinator: at.NodeID, CoordinatorAddress: address(at),
		Epoch: -1, AssignmentEpoch: -1, Members: []memberView{}, Partitions: []groupPartitionView{}}
}

// addMember adds a member and the partitions that it has.
func (g *groupView) addMember(m memberView, assigned kadm.TopicsSet) {
	if m.Topics == nil {
		m.Topics = []string{}
	}
	for _, ps := range assigned {
		m.Partitions += len(ps)
	}
	g.Members = append(g.Members, m)
	assigned.Each(func(t string, p int32) {
		g.Partitions = append(g.Partitions, groupPartitionView{Topic: t, Partition: p, Committed: -1,
			Member: m.Member, InstanceID: m.InstanceID, Client: m.Client, Host: m.Host})
	})
}

// addOffsets adds what the group has committed.
func (g *groupView) addOffsets(committed kadm.OffsetResponses) {
	at := make(map[kadm.Partition]int, len(g.Partitions))
	for i, p := range g.Partitions {
		at[kadm.Partition{Topic: p.Topic, Partition: p.Partition}] = i
	}
	committed.Each(func(o kadm.OffsetResponse) {
		if o.Err == nil && o.At < 0 {
			return
		}
		name := kadm.Partition{Topic: o.Topic, Partition: o.Partition}
		if _, ok := at[name]; !ok {
			at[name] = len(g.Partitions)
			g.Partitions = append(g.Partitions, groupPartitionView{Topic: o.Topic, Partition: o.Partition})
		}
		p := &g.Partitions[at[name]]
		p.Committed, p.Note = o.At, errorText(o.Err)
	})
	slices.SortFunc(g.Partitions, func(a, b groupPartitionView) int { return cmpPartition(a.Topic, a.Partition, b.Topic, b.Partition) })
}

// addLag works out how many records lie behind the committed offsets. A partition without one has no lag: where its reading begins
// is for the consumer to say.
func (g *groupView) addLag(ends logEnds) {
	g.Lag = 0
	for i := range g.Partitions {
		p := &g.Partitions[i]
		p.Start, p.End, p.Lag, p.LagSeconds = ends.start(p.Topic, p.Partition), ends.end(p.Topic, p.Partition), -1, -1
		listed, ok := ends.ends.Lookup(p.Topic, p.Partition)
		switch {
		case !ok:
			p.Note = cmp.Or(p.Note, "there is no such partition")
		case listed.Err != nil:
			p.Note = cmp.Or(p.Note, errorText(listed.Err))
		case p.Committed < 0:
			p.Note = cmp.Or(p.Note, "no offset committed")
		default:
			p.Lag = max(0, p.End-p.Committed)
			g.Lag += p.Lag
		}
	}
}

// committed lists the partitions that the group has offsets of.
func (g *groupView) committed() kadm.TopicsSet {
	set := kadm.TopicsSet{}
	for _, p := range g.Partitions {
		if p.Committed >= 0 {
			set.Add(p.Topic, p.Partition)
		}
	}
	return set
}

// hostOf drops what Java writes before an address without a name.
func hostOf(s string) string { return strings.TrimPrefix(s, "/") }

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
