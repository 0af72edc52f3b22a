package controller

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// A snapshot is snapshotMagic, a version byte and one JSON object. The snapshot store adds the checksum.
const (
	snapshotMagic    = "QCTL"
	snapshotVersion  = 2 // of 1 partitions had replicas only
	maxSnapshotBytes = 1 << 28
)

// snapshotBody is an image as it is written: lists in a fixed order, so that equal images give equal bytes.
type snapshotBody struct {
	Version        uint64                      `json:"version"`
	ClusterID      string                      `json:"cluster_id"`
	NextProducerID int64                       `json:"next_producer_id"`
	Brokers        []Broker                    `json:"brokers"`
	Topics         []*Topic                    `json:"topics"`
	BrokerConfigs  map[int32]map[string]string `json:"broker_configs"`

	GroupConfigs map[string]map[string]string `json:"group_configs,omitempty"`
}

func encodeSnapshot(i *Image) ([]byte, error) {
	body, err := json.Marshal(snapshotBody{
		Version:        i.Version,
		ClusterID:      i.ClusterID,
		NextProducerID: i.nextProducerID,
		Brokers:        slices.SortedFunc(maps.Values(i.Brokers), func(a, b Broker) int { return cmp.Compare(a.ID, b.ID) }),
		Topics:         slices.SortedFunc(maps.Values(i.Topics), func(a, b *Topic) int { return cmp.Compare(a.Name, b.Name) }),
		BrokerConfigs:  i.BrokerConfigs,
		GroupConfigs:   i.GroupConfigs,
	})
	if err != nil {
		return nil, fmt.Errorf("encode controller snapshot: %w", err)
	}
	return slices.Concat([]byte(snapshotMagic), []byte{snapshotVersion}, body), nil
}

func decodeSnapshot(b []byte) (*Image, error) {
	rest, ok := bytes.CutPrefix(b, []byte(snapshotMagic))
	if !ok || len(rest) == 0 {
		return nil, errors.New("not a controller snapshot")
	}
	if rest[0] == 0 || rest[0] > snapshotVersion {
		return nil, fmt.Errorf("controller snapshot version %d (known: %d): %w", rest[0], snapshotVersion, errNewerFormat)
	}
	var body snapshotBody
	if err := strictJSON(rest[1:], &body); err != nil {
		return nil, fmt.Errorf("controller snapshot: %w", err)
	}
	i, err := body.image()
	if err == nil && rest[0] == 1 {
		i.addFounders()
	}
	return i, err
}

// addFounders completes an image of a time when brokers ran alone: whoever has the replicas has founded them.
func (i *Image) addFounders() {
	for _, t := range i.Topics {
		for n := range t.Partitions {
			p := &t.Partitions[n]
			p.Founders = founders(p.Replicas, i.Brokers)
		}
	}
}

// image rebuilds the image and refuses what could not have been one.
func (s *snapshotBody) image() (*Image, error) {
	i := &Image{
		Version:        s.Version,
		ClusterID:      s.ClusterID,
		Topics:         make(map[string]*Topic, len(s.Topics)),
		TopicsByID:     make(map[TopicID]*Topic, len(s.Topics)),
		Brokers:        make(map[int32]Broker, len(s.Brokers)),
		BrokerConfigs:  s.BrokerConfigs,
		GroupConfigs:   s.GroupConfigs,
		nextProducerID: s.NextProducerID,
	}
	if i.nextProducerID < 0 {
		return nil, fmt.Errorf("controller snapshot: next producer id %d", i.nextProducerID)
	}
	for _, t := range s.Topics {
		if t == nil || i.Topics[t.Name] != nil || i.TopicsByID[t.ID] != nil {
			return nil, errors.New("controller snapshot: a topic twice or none")
		}
		i.Topics[t.Name], i.TopicsByID[t.ID] = t, t
	}
	for _, b := range s.Brokers {
		if _, twice := i.Brokers[b.ID]; twice {
			return nil, fmt.Errorf("controller snapshot: broker %d twice", b.ID)
		}
		i.Brokers[b.ID] = b
	}
	return i, nil
}
