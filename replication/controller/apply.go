package controller

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// result is a command's outcome; which fields count depends on the command.
type result struct {
	err        error
	topic      *Topic  // createTopic
	producerID int64   // reserveProducerIDs: first of the block
	each       []error // reassignPartitions: of each move
}

// entry is a command at its place in the log.
type entry struct {
	index   uint64
	command command
}

// applyEntries is the controller's whole logic: an image and entries in, the next image and one result an entry out. img is not
// changed, and what the entries do not touch is shared with it.
func applyEntries(img *Image, entries []entry) (*Image, []result) {
	e := &editor{image: *img}
	results := make([]result, len(entries))
	for i, n := range entries {
		results[i] = n.command.apply(e)
		e.image.Version = n.index
	}
	return &e.image, results
}

// editor holds an image in the making. A map belongs to the image it started from until own has copied it, once for a
// whole batch of commands.
type editor struct {
	image Image
	owned struct{ topics, brokers, brokerConfigs, groupConfigs bool }
	moved map[*Topic]bool // topics of the image in the making whose Partitions nobody else has
}

// own copies m unless that was done before.
func own[K comparable, V any](m map[K]V, owned bool) map[K]V {
	switch {
	case owned:
		return m
	case m == nil:
		return make(map[K]V)
	}
	return maps.Clone(m)
}

func (e *editor) ownTopics() {
	e.image.Topics = own(e.image.Topics, e.owned.topics)
	e.image.TopicsByID = own(e.image.TopicsByID, e.owned.topics)
	e.owned.topics = true
}

// putTopic adds t or replaces the topic of the same name and id.
func (e *editor) putTopic(t *Topic) {
	e.ownTopics()
	e.image.Topics[t.Name] = t
	e.image.TopicsByID[t.ID] = t
}

func (c *foundCluster) apply(e *editor) result {
	if e.image.ClusterID != "" {
		return result{err: fmt.Errorf("cluster %s is founded already", e.image.ClusterID)}
	}
	e.image.ClusterID = c.ClusterID
	return result{}
}

func (e *editor) ownBrokers() {
	e.image.Brokers = own(e.image.Brokers, e.owned.brokers)
	e.owned.brokers = true
}

func (c *registerBroker) apply(e *editor) result {
	e.ownBrokers()
	e.image.Brokers[c.Broker.ID] = c.Broker
	return result{}
}

func (c *unregisterBroker) apply(e *editor) result {
	if _, known := e.image.Brokers[c.ID]; !known {
		return result{err: fmt.Errorf("broker %d: %w", c.ID, ErrUnknownBroker)}
	}
	held, example := 0, ""
	for _, t := range e.image.Topics {
		for n := range t.Partitions {
			if !slices.Contains(t.Partitions[n].Replicas, c.ID) {
				continue
			}
			// not the first that comes: the order of a map is another one on each broker
			if name := fmt.Sprintf("%s-%d", t.Name, n); held == 0 || name < example {
				example = name
			}
			held++
		}
	}
	if held > 0 {
		return result{err: fmt.Errorf("%w: broker %d has %d, like %s; move them first", ErrHasReplicas, c.ID, held, example)}
	}
	e.ownBrokers()
	delete(e.image.Brokers, c.ID)
	return result{}
}

// apply of the same creation again, by id, is no error: who has proposed it and not heard of it may propose it once more.
func (c *createTopic) apply(e *editor) result {
	if t := e.image.Topics[c.Topic.Name]; t != nil {
		if t.ID == c.Topic.ID {
			return result{topic: t}
		}
		return result{err: ErrTopicExists}
	}
	if e.image.TopicsByID[c.Topic.ID] != nil {
		return result{err: fmt.Errorf("topic id %s is taken: %w", c.Topic.ID, ErrTopicExists)}
	}
	t := c.Topic
	var err error
	if t.Partitions, err = e.founded(t.Partitions); err != nil {
		return result{err: err}
	}
	e.putTopic(&t)
	return result{topic: &t}
}

func (c *deleteTopic) apply(e *editor) result {
	t := e.image.TopicsByID[c.ID]
	if t == nil {
		return result{err: ErrUnknownTopic}
	}
	e.ownTopics()
	delete(e.image.Topics, t.Name)
	delete(e.image.TopicsByID, t.ID)
	return result{}
}

func (c *addPartitions) apply(e *editor) result {
	old := e.image.TopicsByID[c.ID]
	if old == nil {
		return result{err: ErrUnknownTopic}
	}
	if c.From != len(old.Partitions) || len(c.Add) == 0 {
		return result{err: ErrPartitions}
	}
	add, err := e.founded(c.Add)
	if err != nil {
		return result{err: err}
	}
	t := *old
	t.Partitions = slices.Concat(old.Partitions, add)
	e.putTopic(&t)
	return result{topic: &t}
}

func (c *alterTopicConfigs) apply(e *editor) result {
	old := e.image.TopicsByID[c.ID]
	if old == nil {
		return result{err: ErrUnknownTopic}
	}
	t := *old
	t.Configs = changeConfigs(old.Configs, c.Changes)
	e.putTopic(&t)
	return result{topic: &t}
}

func (c *alterBrokerConfigs) apply(e *editor) result {
	if c.Broker < -1 {
		return result{err: fmt.Errorf("broker id %d", c.Broker)}
	}
	e.image.BrokerConfigs = own(e.image.BrokerConfigs, e.owned.brokerConfigs)
	e.owned.brokerConfigs = true
	changed := changeConfigs(e.image.BrokerConfigs[c.Broker], c.Changes)
	if len(changed) == 0 {
		delete(e.image.BrokerConfigs, c.Broker)
		return result{}
	}
	e.image.BrokerConfigs[c.Broker] = changed
	return result{}
}

func (c *alterGroupConfigs) apply(e *editor) result {
	e.image.GroupConfigs = own(e.image.GroupConfigs, e.owned.groupConfigs)
	e.owned.groupConfigs = true
	changed := changeConfigs(e.image.GroupConfigs[c.Group], c.Changes)
	if len(changed) == 0 {
		delete(e.image.GroupConfigs, c.Group)
		return result{}
	}
	e.image.GroupConfigs[c.Group] = changed
	return result{}
}

func (c *reserveProducerIDs) apply(e *editor) result {
	if c.Count <= 0 {
		return result{err: fmt.Errorf("block of %d producer ids", c.Count)}
	}
	first := e.image.nextProducerID
	if first > math.MaxInt64-int64(c.Count) {
		return result{err: errors.New("producer ids are used up")}
	}
	e.image.nextProducerID = first + int64(c.Count)
	return result{producerID: first}
}

// changeConfigs returns a copy of old with the changes in their order; nil when nothing is left.
func changeConfigs(old map[string]string, changes []ConfigChange) map[string]string {
	next := maps.Clone(old)
	for _, c := range changes {
		if c.Value == nil {
			delete(next, c.Key)
			continue
		}
		if next == nil {
			next = make(map[string]string)
		}
		next[c.Key] = *c.Value
	}
	if len(next) == 0 {
		return nil
	}
	return next
}
