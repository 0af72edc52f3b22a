package broker

import (
	"context"
	"fmt"
	"slices"

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
		v := b.view()
		t, err := v.named(topicKey{name: res.ResourceName})
		if err != nil {
			return nil, err
		}
		described = b.describeTopicKeys(v.Image, t.Topic)
	case kmsg.ConfigResourceTypeBroker:
		if err := b.checkBrokerName(res.ResourceName); err != nil {
			return nil, err
		}
		described = b.describeBroker(res.ResourceName)
	case kmsg.ConfigResourceTypeGroupConfig:
		var err error
		if described, err = b.describeGroup(b.controller.Image(), res.ResourceName); err != nil {
			return nil, err
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

// describeTopicKeys lists the configuration of a topic, which may be one that is not made.
func (b *Broker) describeTopicKeys(image *controller.Image, t *controller.Topic) []kmsg.DescribeConfigsResponseResourceConfig {
	var described []kmsg.DescribeConfigsResponseResourceConfig
	for _, k := range topicconfig.Keys() {
		var layers []configLayer
		if v, set := t.Configs[k.Name]; set {
			layers = append(layers, synonym(k.Name, v, kmsg.ConfigSourceDynamicTopicConfig))
		}
		for _, bk := range k.BrokerKeys() {
			layers = append(layers, b.layersOf(image, bk.Name)...)
		}
		c := describeKey(k.Name, k.Type, layers)
		// What counts may be spelled in the unit of another key.
		value := k.OfTopic(layers[0].Name, *layers[0].Value)
		c.Value, c.Documentation = &value, &k.Doc
		described = append(described, c)
	}
	return described
}

// describeKey describes a key that has the first of the layers, or no value without any.
func describeKey(name string, of topicconfig.Type, layers []configLayer) kmsg.DescribeConfigsResponseResourceConfig {
	for i := range layers {
		value := of.Spell(*layers[i].Value)
		layers[i].Value = &value
	}
	c := kmsg.NewDescribeConfigsResponseResourceConfig()
	c.Name, c.ConfigType, c.Source = name, kmsg.ConfigType(of), kmsg.ConfigSourceDefaultConfig
	if len(layers) > 0 {
		c.Value, c.Source = layers[0].Value, layers[0].Source
	}
	c.IsDefault, c.ConfigSynonyms = c.Source == kmsg.ConfigSourceDefaultConfig, layers
	return c
}

func synonym(name, value string, source kmsg.ConfigSource) kmsg.DescribeConfigsResponseResourceConfigConfigSynonym {
	s := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
	s.Name, s.Value, s.Source = name, &value, source
	return s
}
