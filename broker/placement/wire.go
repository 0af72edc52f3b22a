package placement

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/quirelog/quire/replication/controller"
)

// MaxCallItems is how many partitions one call between Keepers is about at most.
const MaxCallItems = 1000

// partitionName is an ID between brokers.
type partitionName struct {
	Topic     controller.TopicID `json:"t"`
	Partition int32              `json:"p"`
}

func nameOf(id ID) partitionName { return partitionName{controller.TopicID(id.Topic), id.Partition} }
func (n partitionName) id() ID   { return ID{Topic: n.Topic, Partition: n.Partition} }

// transferItem asks the leader of a partition to hand over.
type transferItem struct {
	partitionName
	To ServerID `json:"to"`
}

// resetCall tells a broker that its fenced replica is no member of its group any longer.
type resetCall struct {
	partitionName
	Reason string `json:"reason"` // the one that it told, so that a call that comes late does not mean a later fence
}

// replicasItem are the members of a partition's group; nil: this broker does not lead it.
type replicasItem struct {
	partitionName
	Members []Member `json:"m"`
}

// decodeItems reads what a broker sent; its length is bounded by the transport.
func decodeItems[T any](body []byte) ([]T, error) {
	var items []T
	if err := json.Unmarshal(body, &items); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformedCall, err)
	}
	if len(items) > MaxCallItems {
		return nil, fmt.Errorf("%w: %d partitions, at most %d are allowed", ErrMalformedCall, len(items), MaxCallItems)
	}
	return items, nil
}

func encode(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode call: %v", err)) // strings and numbers
	}
	return body
}

// answers are the errors that a caller decides on, by their names in an answer. Others are sent as their text.
var answers = map[string]error{
	"": nil, "not-needed": ErrNotNeeded, "no-preferred": ErrNoPreferred, "no-leader": ErrNoLeader, "unknown": ErrUnknown,
}

func errorName(err error) string {
	if err == nil {
		return ""
	}
	for name, is := range answers {
		if is != nil && errors.Is(err, is) {
			return name
		}
	}
	return err.Error()
}

func namedError(name string) error {
	if err, ok := answers[name]; ok {
		return err
	}
	return errors.New(name)
}
