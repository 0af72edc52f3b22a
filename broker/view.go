package broker

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/quirelog/quire/broker/config"
	"github.com/quirelog/quire/broker/topicconfig"
	"github.com/quirelog/quire/partition"
	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/replication/controller"
)

// view is one image of the cluster's metadata together with what handlers need of it parsed once. It never changes.
type view struct {
	*controller.Image
	live     config.Config      // the broker's configuration with what configuration calls have changed
	defaults topicconfig.Config // of a topic that sets nothing
	topics   map[controller.TopicID]topicView
}

// topicView is one topic of a view.
type topicView struct {
	*controller.Topic
	config   topicconfig.Config
	internal bool // see isInternal
}

// id is the topic's id; zero where there is no topic.
func (t *topicView) id() controller.TopicID {
	if t.Topic == nil {
		return controller.TopicID{}
	}
	return t.ID
}

// views keeps the view of the newest image.
type views struct {
	cfg    config.Config // with which the broker was started
	newest atomic.Pointer[view]
}

// of returns the view of image. What did not change since the last one is not parsed again.
func (vs *views) of(image *controller.Image) *view {
	old := vs.newest.Load()
	if old != nil && old.Image == image {
		return old
	}
	v := &view{Image: image, topics: make(map[controller.TopicID]topicView, len(image.TopicsByID))}
	if old != nil && sameBrokerConfigs(old.Image, image, vs.cfg.NodeID) {
		v.live, v.defaults = old.live, old.defaults
	} else {
		v.live = liveConfig(vs.cfg, image)
		v.defaults = v.live.TopicDefaults()
	}
	for id, t := range image.TopicsByID {
		if old != nil && old.topics[id].Topic == t && old.defaults == v.defaults {
			v.topics[id] = old.topics[id]
			continue
		}
		// Keys that this version does not know were set by a newer one: the ones it knows still count.
		config, _ := configOf(t.Name, v.defaults, t.Configs)
		v.topics[id] = topicView{Topic: t, config: config, internal: isInternal(t.Name)}
	}
	if old == nil || old.Version <= image.Version { // whoever is behind, and does not know it, only gets it
		vs.newest.Store(v)
	}
	return v
}

// byName finds a topic; ok is false if there is none.
func (v *view) byName(name string) (t topicView, ok bool) {
	topic := v.Topics[name]
	if topic == nil {
		return topicView{}, false
	}
	return v.topics[topic.ID], true
}

// find resolves a topic named by id (where byID is set) or by name, and checks that it has the partition.
func (v *view) find(byID bool, name string, id controller.TopicID, n int32) (topicView, error) {
	var t topicView
	var ok bool
	if byID {
		if t, ok = v.topics[id]; !ok {
			return t, errUnknownTopicID
		}
	} else if t, ok = v.byName(name); !ok {
		return t, errUnknownTopic
	}
	if n < 0 || int(n) >= len(t.Partitions) {
		return t, errUnknownTopic
	}
	return t, nil
}

// view is the newest one.
func (b *Broker) view() *view { return b.views.of(b.controller.Image()) }

// replica finds this broker's replica of a partition.
func (b *Broker) replica(v *view, byID bool, name string, id controller.TopicID, n int32) (*partition.Partition, topicView, error) {
	t, err := v.find(byID, name, id, n)
	if err != nil {
		return nil, t, err
	}
	p := b.partitions.ByID(partition.ID{Topic: t.ID, Partition: n})
	if p == nil {
		return nil, t, errNotLeaderHere
	}
	return p, t, nil
}

// brokerOf is the broker id in a server id; -1 for none.
func brokerOf(id replication.ServerID) int32 {
	n, _ := splitServer(id)
	return n
}

// splitServer takes a server id ("<broker id>-<incarnation>") apart; -1 where it is none.
func splitServer(id replication.ServerID) (broker int32, incarnation string) {
	digits, incarnation, _ := strings.Cut(string(id), "-")
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil {
		return -1, ""
	}
	return int32(n), incarnation
}

// sortedBrokers lists an image's brokers by id.
func sortedBrokers(i *controller.Image) []controller.Broker {
	list := make([]controller.Broker, 0, len(i.Brokers))
	for _, b := range i.Brokers {
		list = append(list, b)
	}
	slices.SortFunc(list, func(a, b controller.Broker) int { return cmp.Compare(a.ID, b.ID) })
	return list
}
