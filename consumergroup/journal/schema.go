package journal

// The type numbers of the records; 10 to 15 and from 17 on are share and Streams groups.
const (
	kindOffsetCommitV0    = 0 // as kindOffsetCommit
	kindOffsetCommit      = 1
	kindGroupMetadata     = 2
	kindConsumerGroup     = 3
	kindPartitionMetadata = 4
	kindMember            = 5
	kindTarget            = 6
	kindTargetMember      = 7
	kindCurrent           = 8
	kindRegex             = 16
)

func (e *OffsetCommit) kind() int16      { return kindOffsetCommit }
func (e *GroupMetadata) kind() int16     { return kindGroupMetadata }
func (e *ConsumerGroup) kind() int16     { return kindConsumerGroup }
func (e *PartitionMetadata) kind() int16 { return kindPartitionMetadata }
func (e *Member) kind() int16            { return kindMember }
func (e *Target) kind() int16            { return kindTarget }
func (e *TargetMember) kind() int16      { return kindTargetMember }
func (e *Current) kind() int16           { return kindCurrent }
func (e *Regex) kind() int16             { return kindRegex }

func (e *OffsetCommit) key(c *coder) {
	c.string(&e.Group)
	c.string(&e.Topic)
	c.int32(&e.Partition)
}

func (e *GroupMetadata) key(c *coder)     { c.string(&e.Group) }
func (e *ConsumerGroup) key(c *coder)     { c.string(&e.Group) }
func (e *PartitionMetadata) key(c *coder) { c.string(&e.Group) }
func (e *Target) key(c *coder)            { c.string(&e.Group) }

func (e *Member) key(c *coder) {
	c.string(&e.Group)
	c.string(&e.Member)
}

func (e *TargetMember) key(c *coder) {
	c.string(&e.Group)
	c.string(&e.Member)
}

func (e *Current) key(c *coder) {
	c.string(&e.Group)
	c.string(&e.Member)
}

func (e *Regex) key(c *coder) {
	c.string(&e.Group)
	c.string(&e.Expression)
}

func (e *OffsetCommit) version() (int16, bool) {
	switch {
	case e.Value == nil:
		return 0, false
	case e.Value.ExpireTimestamp > 0:
		return 1, true
	default:
		return newest, true
	}
}

// Version 4 of GroupMetadata is known, but not yet written by Kafka.
func (e *GroupMetadata) version() (int16, bool)     { return 3, e.Value != nil }
func (e *ConsumerGroup) version() (int16, bool)     { return 0, e.Value != nil }
func (e *PartitionMetadata) version() (int16, bool) { return 0, false }
func (e *Member) version() (int16, bool)            { return 0, e.Value != nil }
func (e *Target) version() (int16, bool)            { return 0, e.Value != nil }
func (e *TargetMember) version() (int16, bool)      { return 0, e.Value != nil }
func (e *Current) version() (int16, bool)           { return 0, e.Value != nil }
func (e *Regex) version() (int16, bool)             { return 0, e.Value != nil }

func (e *OffsetCommit) value(c *coder, version int16) {
	v := e.Value
	c.flexible = version >= flexible
	if c.reading {
		v.Version, v.LeaderEpoch, v.ExpireTimestamp = version, -1, -1
	}
	c.int64(&v.Offset)
	if version >= 3 {
		c.int32(&v.LeaderEpoch)
	}
	c.string(&v.Metadata)
	c.int64(&v.CommitTimestamp)
	if version == 1 {
		c.int64(&v.ExpireTimestamp)
	}
	if c.flexible {
		if t, ok := c.openTag(v.TopicID != [16]byte{}); ok {
			c.uuid(&v.TopicID)
			c.closeTag(t)
		}
	}
}

func (e *GroupMetadata) value(c *coder, version int16) {
	v := e.Value
	c.flexible = version >= flexible
	if c.reading {
		v.Version, v.CurrentStateTimestamp = version, -1
	}
	c.string(&v.ProtocolType)
	c.int32(&v.Generation)
	c.nullable(&v.Protocol)
	c.nullable(&v.Leader)
	if version >= 2 {
		c.int64(&v.CurrentStateTimestamp)
	}
	const least = 9 // of version 4
	for i := range elements(c, &v.Members, least) {
		m := &v.Members[i]
		c.string(&m.MemberID)
		if version >= 3 {
			c.nullable(&m.InstanceID)
		}
		c.string(&m.ClientID)
		c.string(&m.ClientHost)
		if c.reading {
			m.RebalanceTimeoutMillis = -1
		}
		if version >= 1 {
			c.int32(&m.RebalanceTimeoutMillis)
		}
		c.int32(&m.SessionTimeoutMillis)
		c.bytes(&m.Subscription)
		c.bytes(&m.Assignment)
		if c.flexible {
			c.noTags()
		}
	}
	if c.flexible {
		c.noTags()
	}
}

func (e *ConsumerGroup) value(c *coder, _ int16) {
	v := e.Value
	c.flexible = true
	c.int32(&v.Epoch)
	if t, ok := c.openTag(v.MetadataHash != 0); ok {
		c.int64(&v.MetadataHash)
		c.closeTag(t)
	}
}

func (e *PartitionMetadata) value(*coder, int16) {}

func (e *Member) value(c *coder, _ int16) {
	v := e.Value
	c.flexible = true
	c.nullable(&v.InstanceID)
	c.nullable(&v.RackID)
	c.string(&v.ClientID)
	c.string(&v.ClientHost)
	c.strings(&v.Topics)
	c.nullable(&v.Regex)
	c.int32(&v.RebalanceTimeoutMs)
	c.nullable(&v.Assignor)
	// In Kafka's schema the default is an empty struct, not null: who speaks the new protocol has a field that says null.
	empty := v.Classic != nil && v.Classic.SessionTimeoutMs == 0 && len(v.Classic.Protocols) == 0
	t, ok := c.openTag(!empty)
	if ok {
		classicMember(c, &v.Classic)
		c.closeTag(t)
	} else if c.reading {
		v.Classic = new(ClassicMember)
	}
}

// classicMember goes over the fields of a struct behind a byte that says whether it is null.
func classicMember(c *coder, v **ClassicMember) {
	var there int8
	if *v != nil {
		there = 1
	}
	if c.int8(&there); there <= 0 {
		return
	}
	if c.reading {
		*v = new(ClassicMember)
	}
	m := *v
	c.int32(&m.SessionTimeoutMs)
	const least = 3
	for i := range elements(c, &m.Protocols, least) {
		c.string(&m.Protocols[i].Name)
		c.bytes(&m.Protocols[i].Metadata)
		c.noTags()
	}
	c.noTags()
}

func (e *Target) value(c *coder, _ int16) {
	v := e.Value
	c.flexible = true
	c.int32(&v.Epoch)
	if t, ok := c.openTag(v.Timestamp != 0); ok {
		c.int64(&v.Timestamp)
		c.closeTag(t)
	}
}

// leastPartitions is what the partitions of a topic take at least on the wire.
const leastPartitions = 18

func (e *TargetMember) value(c *coder, _ int16) {
	c.flexible = true
	for i := range elements(c, &e.Value.Partitions, leastPartitions) {
		t := &e.Value.Partitions[i]
		c.uuid(&t.TopicID)
		c.int32s(&t.Partitions)
		c.noTags()
	}
	c.noTags()
}

func (e *Current) value(c *coder, _ int16) {
	v := e.Value
	c.flexible = true
	c.int32(&v.Epoch)
	c.int32(&v.PreviousEpoch)
	c.int8(&v.State)
	assignedPartitions(c, &v.Assigned)
	assignedPartitions(c, &v.Revoking)
	c.noTags()
}

func assignedPartitions(c *coder, v *[]AssignedPartitions) {
	for i := range elements(c, v, leastPartitions) {
		a := &(*v)[i]
		c.uuid(&a.TopicID)
		c.int32s(&a.Partitions)
		if t, ok := c.openTag(len(a.Epochs) > 0); ok {
			c.nullableInt32s(&a.Epochs)
			c.closeTag(t)
		}
	}
}

func (e *Regex) value(c *coder, _ int16) {
	v := e.Value
	c.flexible = true
	c.strings(&v.Topics)
	c.int64(&v.Version)
	c.int64(&v.Timestamp)
	c.noTags()
}
