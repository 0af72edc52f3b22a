package controller

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// commandType is the first byte of an entry in the controller's log. The numbers are part of the format.
type commandType byte

const (
	typeFoundCluster       commandType = 1
	typeRegisterBroker     commandType = 2
	typeCreateTopic        commandType = 3
	typeDeleteTopic        commandType = 4
	typeAddPartitions      commandType = 5
	typeAlterTopicConfigs  commandType = 6
	typeAlterBrokerConfigs commandType = 7
	typeReserveProducerIDs commandType = 8
	typeAlterGroupConfigs  commandType = 9

	typeUnregisterBroker     commandType = 10
	typeReassignPartitions   commandType = 11
	typeCompleteReassignment commandType = 12
)

// commandVersion is the second byte of an entry. A field that is added to a command takes a new version, because a broker that
// skipped a field it does not know would end up with another image than its peers.
const commandVersion = 1

// maxCommandBytes bounds one entry: it holds a topic of some 50,000 partitions.
const maxCommandBytes = 1 << 20

var (
	errNewerFormat = errors.New("written by a newer version of Quire")
	errTooLarge    = fmt.Errorf("metadata change is larger than %d bytes", maxCommandBytes)
)

// command is one entry of the controller's log: type byte, version byte, JSON. It carries every id and time that
// its outcome depends on, so that all replicas come to the same image.
type command interface {
	kind() commandType
	// apply changes e's image or, returning an error, leaves it as it is. It does no I/O and reads no clock.
	apply(e *editor) result
}

// foundCluster is the first entry of a log.
type foundCluster struct {
	ClusterID string `json:"cluster_id"`
}

// registerBroker adds a broker or replaces what is known of it.
type registerBroker struct {
	Broker Broker `json:"broker"`
}

// unregisterBroker forgets a broker that holds no replicas.
type unregisterBroker struct {
	ID int32 `json:"id"`
}

type createTopic struct {
	Topic Topic `json:"topic"`
}

type deleteTopic struct {
	ID TopicID `json:"id"`
}

type addPartitions struct {
	ID   TopicID     `json:"id"`
	From int         `json:"from"` // partition count that the sender saw
	Add  []Partition `json:"add"`
}

type alterTopicConfigs struct {
	ID      TopicID        `json:"id"`
	Changes []ConfigChange `json:"changes"`
}

type alterBrokerConfigs struct {
	Broker  int32          `json:"broker"` // -1: cluster-wide default
	Changes []ConfigChange `json:"changes"`
}

type alterGroupConfigs struct {
	Group   string         `json:"group"`
	Changes []ConfigChange `json:"changes"`
}

type reserveProducerIDs struct {
	Count int32 `json:"count"`
}

func (*foundCluster) kind() commandType       { return typeFoundCluster }
func (*registerBroker) kind() commandType     { return typeRegisterBroker }
func (*unregisterBroker) kind() commandType   { return typeUnregisterBroker }
func (*createTopic) kind() commandType        { return typeCreateTopic }
func (*deleteTopic) kind() commandType        { return typeDeleteTopic }
func (*addPartitions) kind() commandType      { return typeAddPartitions }
func (*alterTopicConfigs) kind() commandType  { return typeAlterTopicConfigs }
func (*alterBrokerConfigs) kind() commandType { return typeAlterBrokerConfigs }
func (*reserveProducerIDs) kind() commandType { return typeReserveProducerIDs }
func (*alterGroupConfigs) kind() commandType  { return typeAlterGroupConfigs }

// newCommand returns an empty command of the type, nil if the type is unknown.
func newCommand(t commandType) command {
	switch t {
	case typeFoundCluster:
		return &foundCluster{}
	case typeRegisterBroker:
		return &registerBroker{}
	case typeCreateTopic:
		return &createTopic{}
	case typeDeleteTopic:
		return &deleteTopic{}
	case typeAddPartitions:
		return &addPartitions{}
	case typeAlterTopicConfigs:
		return &alterTopicConfigs{}
	case typeAlterBrokerConfigs:
		return &alterBrokerConfigs{}
	case typeReserveProducerIDs:
		return &reserveProducerIDs{}
	case typeAlterGroupConfigs:
		return &alterGroupConfigs{}
	case typeUnregisterBroker:
		return &unregisterBroker{}
	case typeReassignPartitions:
		return &reassignPartitions{}
	case typeCompleteReassignment:
		return &completeReassignment{}
	}
	return nil
}

func encodeCommand(c command) ([]byte, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode command %d: %w", c.kind(), err)
	}
	if len(body)+2 > maxCommandBytes {
		return nil, errTooLarge
	}
	return append([]byte{byte(c.kind()), commandVersion}, body...), nil
}

// decodeCommand reads one entry. Its errors stop the log: an entry that cannot be read must not be skipped.
func decodeCommand(b []byte) (command, error) {
	if len(b) < 2 || len(b) > maxCommandBytes {
		return nil, fmt.Errorf("command of %d bytes", len(b))
	}
	c := newCommand(commandType(b[0]))
	if c == nil {
		return nil, fmt.Errorf("command type %d is unknown: %w", b[0], errNewerFormat)
	}
	if b[1] == 0 || b[1] > commandVersion {
		return nil, fmt.Errorf("command type %d, version %d (known: %d): %w", b[0], b[1], commandVersion, errNewerFormat)
	}
	if err := strictJSON(b[2:], c); err != nil {
		return nil, fmt.Errorf("command type %d: %w", b[0], err)
	}
	return c, nil
}

// strictJSON decodes exactly one value and refuses fields that v does not have.
func strictJSON(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("bytes after the value")
	}
	return nil
}
