package controller

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
)

// TopicID is a topic's UUID. A topic that is deleted and made again gets another one.
type TopicID [16]byte

// String spells the id as Kafka does: 22 characters of unpadded URL-safe base64.
func (id TopicID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// MarshalText is String, for JSON.
func (id TopicID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *TopicID) UnmarshalText(text []byte) error {
	if len(text) != base64.RawURLEncoding.EncodedLen(len(id)) {
		return fmt.Errorf("topic id %.32q: want 22 characters of base64", text)
	}
	if _, err := base64.RawURLEncoding.Strict().Decode(id[:], text); err != nil {
		return fmt.Errorf("topic id %q: %w", text, err)
	}
	return nil
}

// newUUID makes a random (version 4) UUID. Like Kafka's it never begins with a dash when spelled out, so that it can be
// a command line argument.
func newUUID() TopicID {
	for {
		var id TopicID
		rand.Read(id[:]) // never fails: crypto/rand ends the process instead
		id[6] = id[6]&0x0f | 0x40
		id[8] = id[8]&0x3f | 0x80
		if !strings.HasPrefix(id.String(), "-") {
			return id
		}
	}
}

// Image is the cluster's metadata at one point of the controller's log. It never changes: read it through one pointer.
//
// What always holds: Topics and TopicsByID hold the same topics; nothing that an image refers to is written once the image
// is published, so that images share what did not change between them.
type Image struct {
	Version       uint64 // index in the controller's log
	ClusterID     string
	Topics        map[string]*Topic
	TopicsByID    map[TopicID]*Topic
	Brokers       map[int32]Broker
	BrokerConfigs map[int32]map[string]string // dynamic broker configuration; key -1 is the cluster-wide default

	// GroupConfigs is the configuration of consumer groups that have any, whether there is such a group or not.
	GroupConfigs map[string]map[string]string

	nextProducerID int64 // every producer id below was handed out
}

// Topic is one topic of an image.
type Topic struct {
	Name       string            `json:"name"`
	ID         TopicID           `json:"id"`
	Partitions []Partition       `json:"partitions"` // by partition number
	Configs    map[string]string `json:"configs"`    // only what was set, values as Kafka spells them
}

// Partition is one partition of a topic.
//
// What always holds: the brokers in the partition's Raft group are among Replicas, so a broker that is not may delete what it has.
// While a reassignment is under way (Target is not nil), Replicas is Target and then Removing, and Adding is what Before lacks of Target.
type Partition struct {
	Replicas []int32 `json:"replicas"`           // broker ids, the preferred leader first
	Adding   []int32 `json:"adding,omitempty"`   // of Target, those that were no replicas
	Removing []int32 `json:"removing,omitempty"` // they leave when the reassignment is complete
	Target   []int32 `json:"target,omitempty"`   // the replicas that there are to be, the preferred leader first
	Before   []int32 `json:"before,omitempty"`   // the replicas that there were before the first of the reassignments under way

	// Founders are the server ids of the brokers that the partition was made on: its Raft group begins with these voters, and
	// nobody else may begin it. nil once a reassignment was completed: then the group is there, and who has no log joins it.
	Founders []string `json:"founders,omitempty"`
}

// Broker is one registered broker.
type Broker struct {
	ID      int32  `json:"id"`
	Host    string `json:"host"` // as clients dial it
	Port    int32  `json:"port"`
	Rack    string `json:"rack"`
	RPCAddr string `json:"rpc_addr"`
	// Incarnation is made when a data directory is founded and kept as long as the directory.
	Incarnation string `json:"incarnation"`
}

// Limits of what a broker says of itself, in bytes.
const (
	maxHost = 255
	maxRack = 255
	maxAddr = 300
)

// check refuses what no broker may call itself.
func (b *Broker) check() error {
	var faults []error
	for _, f := range []struct {
		wrong  bool
		format string
		args   []any
	}{
		{b.ID < 0, "id %d: it must be 0 or more", []any{b.ID}},
		{new(TopicID).UnmarshalText([]byte(b.Incarnation)) != nil, "incarnation %.32q: want 22 characters of base64", []any{b.Incarnation}},
		{len(b.Host) > maxHost, "host of %d bytes, the limit is %d", []any{len(b.Host), maxHost}},
		{len(b.Rack) > maxRack, "rack of %d bytes, the limit is %d", []any{len(b.Rack), maxRack}},
		{len(b.RPCAddr) > maxAddr, "rpc address of %d bytes, the limit is %d", []any{len(b.RPCAddr), maxAddr}},
	} {
		if f.wrong {
			faults = append(faults, fmt.Errorf(f.format, f.args...))
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("broker %d: %w", b.ID, errors.Join(faults...))
	}
	return nil
}

// publisher holds the newest image. One goroutine publishes, any number read.
type publisher struct {
	newest atomic.Pointer[published]
}

// published is an image with the channel that is closed when the next one is there.
type published struct {
	image *Image
	next  chan struct{}
}

func newPublisher(first *Image) *publisher {
	p := &publisher{}
	p.newest.Store(&published{image: first, next: make(chan struct{})})
	return p
}

func (p *publisher) publish(i *Image) {
	old := p.newest.Swap(&published{image: i, next: make(chan struct{})})
	close(old.next)
}

func (p *publisher) image() *Image { return p.newest.Load().image }

// changed returns a channel that is closed once an image newer than i is published, which may be at once.
func (p *publisher) changed(i *Image) <-chan struct{} {
	newest := p.newest.Load()
	if i == nil || newest.image.Version > i.Version {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	return newest.next
}
