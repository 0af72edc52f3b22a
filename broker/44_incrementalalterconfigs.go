package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/quirelog/quire/broker/topicconfig"
	"github.com/quirelog/quire/replication/controller"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// IncrementalAlterConfigs (44), versions 0 and 1 (KIP-339). 1: flexible. All changes of a resource are made, or none.

func startIncrementalAlterConfigs(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.IncrementalAlterConfigsRequest)
	return func(ctx context.Context) reply {
		resp := kmsg.NewPtrIncrementalAlterConfigsResponse()
		resp.Version = req.Version
		count := map[configResource]int{}
		for _, res := range req.Resources {
			count[configResource{res.ResourceType, res.ResourceName}]++
		}
		for i := range req.Resources {
			res := &req.Resources[i]
			key := configResource{res.ResourceType, res.ResourceName}
			if count[key] == 0 {
				continue // a duplicate that was answered
			}
			err := errDuplicateResource
			if count[key] == 1 {
				err = b.alterResource(ctx, key, req.ValidateOnly, incremental(res.Configs))
			}
			count[key] = 0
			rr := kmsg.NewIncrementalAlterConfigsResponseResource()
			rr.ResourceType, rr.ResourceName = res.ResourceType, res.ResourceName
			rr.ErrorCode, rr.ErrorMessage = errorFields(err)
			resp.Resources = append(resp.Resources, rr)
		}
		return reply{msg: resp}
	}
}

// configResource names what has a configuration.
type configResource struct {
	kind kmsg.ConfigResourceType
	name string
}

// alteration is what a request changes of a resource, whichever it is.
type alteration struct {
	names    []string // keys of the request
	ofTopic  func(t *controller.Topic) ([]controller.ConfigChange, error)
	ofBroker func(have map[string]string) ([]controller.ConfigChange, error)
}

func incremental(configs []kmsg.IncrementalAlterConfigsRequestResourceConfig) alteration {
	a := alteration{
		ofTopic: func(*controller.Topic) ([]controller.ConfigChange, error) {
			for i := range configs { // as in Kafka, what is not there can be removed, whatever it is
				_, known := topicconfig.Find(configs[i].Name)
				if !known && configs[i].Op != kmsg.IncrementalAlterConfigOpDelete {
					return nil, topicconfig.UnknownKey(configs[i].Name)
				}
			}
			return incrementalChanges(configs)
		},
		ofBroker: func(map[string]string) ([]controller.ConfigChange, error) { return incrementalChanges(configs) },
	}
	for i := range configs {
		a.names = append(a.names, configs[i].Name)
	}
	return a
}

// incrementalChanges turns a request's operations into changes. The only list, cleanup.policy, has one possible value, so nothing can be appended or
// subtracted.
func incrementalChanges(configs []kmsg.IncrementalAlterConfigsRequestResourceConfig) ([]controller.ConfigChange, error) {
	var changes []controller.ConfigChange
	for i := range configs {
		c := &configs[i]
		switch c.Op {
		case kmsg.IncrementalAlterConfigOpSet:
			if c.Value == nil {
				return nil, fmt.Errorf("%w: null value not supported for: %s", errInvalidRequest, c.Name)
			}
			changes = append(changes, controller.ConfigChange{Key: c.Name, Value: c.Value})
		case kmsg.IncrementalAlterConfigOpDelete:
			changes = append(changes, controller.ConfigChange{Key: c.Name})
		case kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract:
			return nil, fmt.Errorf("%w: can't %s to key %s because it has one value only", topicconfig.ErrInvalid, c.Op, c.Name)
		default:
			return nil, fmt.Errorf("%w: unknown operation %d", errInvalidRequest, int8(c.Op))
		}
	}
	return changes, nil
}

// alterResource applies what the alteration makes of the resource as it is, all or nothing.
func (b *Broker) alterResource(ctx context.Context, res configResource, validateOnly bool, a alteration) error {
	switch {
	case hasDuplicates(a.names):
		return fmt.Errorf("%w: duplicate configuration keys", errInvalidRequest)
	case res.kind == kmsg.ConfigResourceTypeTopic && res.name == "":
		return fmt.Errorf("%w: there is no default of all topics", errInvalidRequest)
	case res.kind == kmsg.ConfigResourceTypeBroker:
		return b.alterBroker(ctx, res.name, validateOnly, a.ofBroker)
	case res.kind != kmsg.ConfigResourceTypeTopic:
		return fmt.Errorf("%w: resource type %d has no configuration", errInvalidRequest, res.kind)
	}
	b.topicChange.Lock() // so that the configuration is still as it was checked
	defer b.topicChange.Unlock()
	t, err := b.view().named(topicKey{name: res.name})
	if err != nil {
		return err
	}
	list, err := a.ofTopic(t.Topic)
	if err != nil {
		return err
	}
	if err := checkChanges(t.Configs, list); err != nil || validateOnly {
		return err
	}
	if err := b.controller.AlterTopicConfigs(ctx, t.ID, list); err != nil {
		return fmt.Errorf("alter configuration of topic %s: %w", t.Name, err)
	}
	// Open partitions have it once this image is applied, and whoever asked may count on it.
	return b.reconciler.await(ctx, b.controller.Image())
}

// checkChanges checks the configuration that a topic would have.
func checkChanges(have map[string]string, changes []controller.ConfigChange) error {
	want := maps.Clone(have)
	if want == nil {
		want = map[string]string{}
	}
	for _, c := range changes {
		if c.Value == nil {
			delete(want, c.Key)
		} else {
			want[c.Key] = *c.Value
		}
	}
	_, err := topicconfig.Parse(want)
	return err
}

func hasDuplicates(names []string) bool {
	sorted := slices.Sorted(slices.Values(names))
	return len(slices.Compact(sorted)) != len(names)
}
