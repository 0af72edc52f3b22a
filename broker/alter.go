package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/quirelog/quire/broker/config"
	"github.com/quirelog/quire/broker/topicconfig"
	"github.com/quirelog/quire/replication/controller"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// configResource names what has a configuration.
type configResource struct {
	kind kmsg.ConfigResourceType
	name string
}

// listDefault is the default of a key of the resource, if the key's values are lists.
func (r configResource) listDefault(key string) (value string, isList bool) {
	if r.kind == kmsg.ConfigResourceTypeTopic {
		k, _ := topicconfig.Find(key)
		return k.Default, k.Type == topicconfig.List
	}
	k, _ := config.Find(key)
	return k.Default, k.Type == topicconfig.List
}

// alteration is what a request changes of a resource.
type alteration struct {
	configResource
	names   []string // keys of the request
	changes func(have map[string]string) ([]controller.ConfigChange, error)
}

// alterEach makes the alterations of a request's resources and tells answer of each. A resource that is named twice is answered
// once, and not altered.
func (b *Broker) alterEach(ctx context.Context, all []alteration, validateOnly bool, answer func(configResource, error)) {
	count := map[configResource]int{}
	for i := range all {
		count[all[i].configResource]++
	}
	for i := range all {
		a := &all[i]
		switch n := count[a.configResource]; n {
		case 0: // it was answered
			continue
		case 1:
			answer(a.configResource, b.alterResource(ctx, a, validateOnly))
		default:
			answer(a.configResource, errDuplicateResource)
		}
		count[a.configResource] = 0
	}
}

// alterResource applies what the alteration makes of the resource as it is, all or nothing. Once it returns, the open partitions
// have the new configuration.
func (b *Broker) alterResource(ctx context.Context, a *alteration, validateOnly bool) error {
	var err error
	switch {
	case hasDuplicates(a.names):
		return fmt.Errorf("%w: duplicate configuration keys", errInvalidRequest)
	case a.kind == kmsg.ConfigResourceTypeTopic && a.name == "":
		return fmt.Errorf("%w: there is no default of all topics", errInvalidRequest)
	case a.kind == kmsg.ConfigResourceTypeBroker:
		err = b.alterBroker(ctx, a, validateOnly)
	case a.kind == kmsg.ConfigResourceTypeTopic:
		err = b.alterTopic(ctx, a, validateOnly)
	case a.kind == kmsg.ConfigResourceTypeGroupConfig:
		err = b.alterGroup(ctx, a, validateOnly)
	default:
		return fmt.Errorf("%w: resource type %d has no configuration", errInvalidRequest, a.kind)
	}
	if err != nil || validateOnly {
		return err
	}
	// Open partitions have it once this image, or a newer one, is applied.
	return b.reconciler.await(ctx, b.controller.Image())
}

func (b *Broker) alterTopic(ctx context.Context, a *alteration, validateOnly bool) error {
	b.topicChange.Lock() // so that the configuration is still as it was checked
	defer b.topicChange.Unlock()
	v := b.view()
	t, err := v.named(topicKey{name: a.name})
	if err != nil {
		return err
	}
	list, err := a.changes(t.Configs)
	if err != nil {
		return err
	}
	if err := checkTopicChanges(v.defaults, t.Topic, list); err != nil || validateOnly {
		return err
	}
	if err := b.controller.AlterTopicConfigs(ctx, t.ID, list); err != nil {
		return fmt.Errorf("alter configuration of topic %s: %w", t.Name, err)
	}
	return nil
}

// checkTopicChanges checks the configuration that a topic would have.
func checkTopicChanges(defaults topicconfig.Config, t *controller.Topic, changes []controller.ConfigChange) error {
	_, err := configOf(t.Name, defaults, changed(t.Configs, changes))
	return err
}

// changed is a configuration with changes made.
func changed(have map[string]string, changes []controller.ConfigChange) map[string]string {
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
	return want
}

func hasDuplicates(names []string) bool {
	sorted := slices.Sorted(slices.Values(names))
	return len(slices.Compact(sorted)) != len(names)
}
