package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/quirelog/quire/broker/config"
	"github.com/quirelog/quire/replication/controller"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// allBrokers is the resource "" in a controller's image: the default of all brokers (KIP-226).
const allBrokers = -1

// liveConfig is a broker's configuration with what configuration calls have changed since it started: what is set for this
// broker counts more than the default of all. Values of keys that are not dynamic, or no longer valid, were set by another
// version: they do not count.
func liveConfig(cfg config.Config, image *controller.Image) config.Config {
	for _, id := range []int32{allBrokers, cfg.NodeID} {
		for key, value := range image.BrokerConfigs[id] {
			if config.Dynamic(key) {
				_ = cfg.Set(key, value)
			}
		}
	}
	return cfg
}

// sameBrokerConfigs says whether a broker has the same dynamic configuration in both images.
func sameBrokerConfigs(a, b *controller.Image, self int32) bool {
	return maps.Equal(a.BrokerConfigs[allBrokers], b.BrokerConfigs[allBrokers]) && maps.Equal(a.BrokerConfigs[self], b.BrokerConfigs[self])
}

// brokerOfResource is whose configuration a resource of this name is; b.checkBrokerName has passed it.
func (b *Broker) brokerOfResource(name string) int32 {
	if name == "" {
		return allBrokers
	}
	return b.cfg.NodeID
}

// alterBroker makes an alteration of a broker's dynamic configuration. As in Kafka removing what cannot be set does nothing.
func (b *Broker) alterBroker(ctx context.Context, a *alteration, validateOnly bool) error {
	if err := b.checkBrokerName(a.name); err != nil {
		return err
	}
	b.topicChange.Lock() // so that the configuration is still as it was checked
	defer b.topicChange.Unlock()
	id := b.brokerOfResource(a.name)
	list, err := a.changes(b.controller.Image().BrokerConfigs[id])
	if err != nil {
		return err
	}
	if err := checkBrokerChanges(b.cfg, list); err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(c controller.ConfigChange) bool { return !config.Dynamic(c.Key) })
	if validateOnly || len(list) == 0 {
		return nil
	}
	if err := b.controller.AlterBrokerConfigs(ctx, id, list); err != nil {
		return fmt.Errorf("alter configuration of broker %q: %w", a.name, err)
	}
	return nil
}

// checkBrokerChanges checks that what is set can be set, to valid values.
func checkBrokerChanges(cfg config.Config, changes []controller.ConfigChange) error {
	var static []string
	for _, c := range changes {
		switch {
		case c.Value == nil:
		case !config.Dynamic(c.Key):
			static = append(static, c.Key)
		default:
			if err := cfg.Set(c.Key, *c.Value); err != nil {
				return fmt.Errorf("%w: %w", errInvalidRequest, err)
			}
		}
	}
	if len(static) > 0 {
		return fmt.Errorf("%w: cannot update these configs dynamically: %s", errInvalidRequest, strings.Join(static, ", "))
	}
	return nil
}

// describeBroker lists the configuration of a broker: this one, or for "" what is set as the default of all.
func (b *Broker) describeBroker(name string) []kmsg.DescribeConfigsResponseResourceConfig {
	image := b.controller.Image()
	var described []kmsg.DescribeConfigsResponseResourceConfig
	for _, k := range config.Keys() {
		if name != "" {
			described = append(described, describeBrokerKey(k, b.brokerLayers(image, k)))
		} else if v, set := image.BrokerConfigs[allBrokers][k.Name]; set && config.Dynamic(k.Name) {
			common := synonym(k.Name, v, kmsg.ConfigSourceDynamicDefaultBrokerConfig)
			described = append(described, describeBrokerKey(k, []configLayer{common}))
		}
	}
	return described
}

// configLayer is a value that is set for a key, or its default, with where.
type configLayer = kmsg.DescribeConfigsResponseResourceConfigConfigSynonym

// brokerLayers lists what this broker has for a key; what counts comes first. A key that is not set and has no default has none.
func (b *Broker) brokerLayers(image *controller.Image, k config.Key) []configLayer {
	layers := b.layersOf(image, k.Name)
	if len(layers) == 0 {
		return nil
	}
	for _, next := range k.Next {
		layers = append(layers, b.layersOf(image, next)...)
	}
	return layers
}

// layersOf is brokerLayers of the key alone, without those that count where it is not set.
func (b *Broker) layersOf(image *controller.Image, key string) []configLayer {
	var layers []configLayer
	add := func(id int32, source kmsg.ConfigSource) {
		if v, set := image.BrokerConfigs[id][key]; set && config.Dynamic(key) {
			layers = append(layers, synonym(key, v, source))
		}
	}
	add(b.cfg.NodeID, kmsg.ConfigSourceDynamicBrokerConfig)
	add(allBrokers, kmsg.ConfigSourceDynamicDefaultBrokerConfig)
	value, usual := b.cfg.Value(key), config.Usual(key)
	if value != usual {
		layers = append(layers, synonym(key, value, kmsg.ConfigSourceStaticBrokerConfig))
	}
	if k, _ := config.Find(key); usual != "" || len(k.Next) == 0 {
		layers = append(layers, synonym(key, usual, kmsg.ConfigSourceDefaultConfig))
	}
	return layers
}

func describeBrokerKey(k config.Key, layers []configLayer) kmsg.DescribeConfigsResponseResourceConfig {
	c := describeKey(k.Name, k.Type, layers)
	c.ReadOnly, c.Documentation = !config.Dynamic(k.Name), &k.Doc
	return c
}

// checkBrokerName checks that a broker resource is this broker, or "" for the default of all.
func (b *Broker) checkBrokerName(name string) error {
	if name == "" {
		return nil
	}
	id, err := strconv.ParseInt(name, 10, 32)
	switch {
	case err != nil:
		return fmt.Errorf("%w: broker id must be an integer, but it is: %s", errInvalidRequest, name)
	case int32(id) != b.cfg.NodeID || name != strconv.Itoa(int(b.cfg.NodeID)):
		return fmt.Errorf("%w: unexpected broker id, expected %d or empty string, but received %s",
			errInvalidRequest, b.cfg.NodeID, name)
	}
	return nil
}
