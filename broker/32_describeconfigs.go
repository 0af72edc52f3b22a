package broker

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/quirelog/quire/broker/config"
	"github.com/quirelog/quire/broker/topicconfig"
	"github.com/quirelog/quire/replication/controller"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeConfigs (32), versions 0 to 4. 0: a default flag instead of the source. 1: sources and synonyms (KIP-226). 3:
// types and documentation (KIP-569). 4: flexible.

func startDescribeConfigs(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.DescribeConfigsRequest)
	return func(context.Context) reply {
		resp := kmsg.NewPtrDescribeConfigsResponse()
		resp.Version = req.Version
		// Each resource is answered once: a small request may not ask for the same long answer a hundred thousand times.
		answered := map[configResource]bool{}
		for i := range req.Resources {
			res := &req.Resources[i]
			key := configResource{res.ResourceType, res.ResourceName}
			if answered[key] {
				continue
			}
			answered[key] = true
			rr := kmsg.NewDescribeConfigsResponseResource()
			rr.ResourceType, rr.ResourceName = res.ResourceType, res.ResourceName
			configs, err := b.describeConfigs(req, res)
			rr.ErrorCode, rr.ErrorMessage = errorFields(err)
			rr.Configs = configs
			resp.Resources = append(resp.Resources, rr)
		}
		return reply{msg: resp}
	}
}

func (b *Broker) describeConfigs(
	req *kmsg.DescribeConfigsRequest, res *kmsg.DescribeConfigsRequestResource,
) ([]kmsg.DescribeConfigsResponseResourceConfig, error) {
	var described []kmsg.DescribeConfigsResponseResourceConfig
	switch res.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		t, err := b.view().named(topicKey{name: res.ResourceName})
		if err != nil {
			return nil, err
		}
		for _, k := range topicconfig.Keys() {
			described = append(described, describeTopicKey(k, t.Topic))
		}
	case kmsg.ConfigResourceTypeBroker:
		if err := b.checkBrokerName(res.ResourceName); err != nil {
			return nil, err
		}
		if res.ResourceName != "" { // "" is the cluster-wide default, which nothing sets
			described = b.describeBroker()
		}
	default:
		return nil, fmt.Errorf("%w: resource type %d has no configuration", errInvalidRequest, res.ResourceType)
	}
	if res.ConfigNames != nil {
		described = slices.DeleteFunc(described, func(c kmsg.DescribeConfigsResponseResourceConfig) bool {
			return !slices.Contains(res.ConfigNames, c.Name)
		})
	}
	for i := range described {
		if !req.IncludeSynonyms {
			described[i].ConfigSynonyms = nil
		}
		if !req.IncludeDocumentation {
			described[i].Documentation = nil
		}
	}
	return described, nil
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

// topicValue is what a topic has for a key, and where that comes from.
func topicValue(k topicconfig.Key, t *controller.Topic) (string, kmsg.ConfigSource) {
	if v, set := t.Configs[k.Name]; set {
		return v, kmsg.ConfigSourceDynamicTopicConfig
	}
	return k.Default, kmsg.ConfigSourceDefaultConfig
}

func describeTopicKey(k topicconfig.Key, t *controller.Topic) kmsg.DescribeConfigsResponseResourceConfig {
	c := kmsg.NewDescribeConfigsResponseResourceConfig()
	value, source := topicValue(k, t)
	c.Name, c.Value, c.Source = k.Name, &value, source
	c.IsDefault = source == kmsg.ConfigSourceDefaultConfig
	c.ConfigType, c.Documentation = kmsg.ConfigType(k.Type), &k.Doc
	if !c.IsDefault {
		c.ConfigSynonyms = append(c.ConfigSynonyms, synonym(k.Name, value, source))
	}
	c.ConfigSynonyms = append(c.ConfigSynonyms, synonym(k.Broker, k.Default, kmsg.ConfigSourceDefaultConfig))
	return c
}

func synonym(name, value string, source kmsg.ConfigSource) kmsg.DescribeConfigsResponseResourceConfigConfigSynonym {
	s := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
	s.Name, s.Value, s.Source = name, &value, source
	return s
}

// describeBroker lists the broker's own configuration. It is read when the broker starts, so all of it is read-only.
func (b *Broker) describeBroker() []kmsg.DescribeConfigsResponseResourceConfig {
	var described []kmsg.DescribeConfigsResponseResourceConfig
	def := config.Default()
	for _, k := range config.Keys() {
		c := kmsg.NewDescribeConfigsResponseResourceConfig()
		value, usual := b.cfg.Value(k.Name), def.Value(k.Name)
		c.Name, c.Value, c.ReadOnly = k.Name, &value, true
		c.Source = kmsg.ConfigSourceStaticBrokerConfig
		if c.IsDefault = value == usual; c.IsDefault {
			c.Source = kmsg.ConfigSourceDefaultConfig
		} else {
			c.ConfigSynonyms = append(c.ConfigSynonyms, synonym(k.Name, value, c.Source))
		}
		c.ConfigSynonyms = append(c.ConfigSynonyms, synonym(k.Name, usual, kmsg.ConfigSourceDefaultConfig))
		c.ConfigType, c.Documentation = kmsg.ConfigTypeString, &k.Doc
		described = append(described, c)
	}
	return described
}
