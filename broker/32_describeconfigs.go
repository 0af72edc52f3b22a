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
		described = b.describeBroker(res.ResourceName)
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
