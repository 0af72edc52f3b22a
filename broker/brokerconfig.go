package broker

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/quirelog/quire/broker/config"
	"github.com/quirelog/quire/replication/controller"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// allBrokers is the resource "" in a controller's image: the default of all brokers (KIP-226).
const allBrokers = -1

// liveConfig is the configuration with what configuration calls have changed since the broker started: what is set for this
// broker counts more than the default of all. Values of keys that are not dynamic, or no longer valid, were set by another
// version: they do not count.
func (b *Broker) liveConfig() config.Config {
	cfg := b.cfg
	image := b.controller.Image()
	for _, id := range []int32{allBrokers, b.cfg.NodeID} {
		for key, value := range image.BrokerConfigs[id] {
			if config.Dynamic(key) {
				_ = cfg.Set(key, value)
			}
		}
	}
	return cfg
}

func (b *Broker) maxConnections() int {
	cfg := b.liveConfig()
	return cfg.MaxConnections
}

// brokerOfResource is whose configuration a resource of this name is; b.checkBrokerName has passed it.
func (b *Broker) brokerOfResource(name string) int32 {
	if name == "" {
		return allBrokers
	}
	return b.cfg.NodeID
}

// alterBroker applies what changes makes of a broker's dynamic configuration, all or nothing. As in Kafka removing what
// cannot be set does nothing.
func (b *Broker) alterBroker(ctx context.Context, name string, validateOnly bool,
	changes func(have map[string]string) ([]controller.ConfigChange, error),
) error {
	if err := b.checkBrokerName(name); err != nil {
		return err
	}
	b.topicChange.Lock() // so that the configuration is still as it was checked
	defer b.topicChange.Unlock()
	id := b.brokerOfResource(name)
	list, err := changes(b.controller.Image().BrokerConfigs[id])
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
		return fmt.Errorf("alter configuration of broker %q: %w", name, err)
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
	var described []kmsg.DescribeConfigsResponseResourceConfig
	for _, k := range config.Keys() {
		if layers := b.brokerValues(name, k); len(layers) > 0 {
			described = append(described, describeBrokerKey(k, layers))
		}
	}
	return described
}

// brokerValues lists what is set for a key, with where; what counts comes first.
func (b *Broker) brokerValues(name string, k config.Key) []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym {
	var layers []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym
	image := b.controller.Image()
	add := func(id int32, source kmsg.ConfigSource) {
		if v, set := image.BrokerConfigs[id][k.Name]; set && config.Dynamic(k.Name) {
			layers = append(layers, synonym(k.Name, v, source))
		}
	}
	if name == "" {
		add(allBrokers, kmsg.ConfigSourceDynamicDefaultBrokerConfig)
		return layers
	}
	add(b.cfg.NodeID, kmsg.ConfigSourceDynamicBrokerConfig)
	add(allBrokers, kmsg.ConfigSourceDynamicDefaultBrokerConfig)
	def := config.Default()
	value, usual := b.cfg.Value(k.Name), def.Value(k.Name)
	if value != usual {
		layers = append(layers, synonym(k.Name, value, kmsg.ConfigSourceStaticBrokerConfig))
	}
	return append(layers, synonym(k.Name, usual, kmsg.ConfigSourceDefaultConfig))
}

func describeBrokerKey(
	k config.Key, layers []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym,
) kmsg.DescribeConfigsResponseResourceConfig {
	c := kmsg.NewDescribeConfigsResponseResourceConfig()
	c.Name, c.Value, c.Source = k.Name, layers[0].Value, layers[0].Source
	c.IsDefault = c.Source == kmsg.ConfigSourceDefaultConfig
	c.ReadOnly, c.ConfigSynonyms = !config.Dynamic(k.Name), layers
	c.ConfigType, c.Documentation = kmsg.ConfigTypeString, &k.Doc
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
