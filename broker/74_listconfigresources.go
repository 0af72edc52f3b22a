package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ListConfigResources (74), versions 0 and 1 (KIP-714, KIP-1142). 0: of clients' metrics, which nobody here configures. 1:
// of the types asked for, of all if none is. Loggers and clients' metrics have no configuration here, and of groups those are told that have one.

func startListConfigResources(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.ListConfigResourcesRequest)
	return func(context.Context) reply {
		resp := req.ResponseKind().(*kmsg.ListConfigResourcesResponse)
		resources, err := b.configResources(req)
		resp.ErrorCode, resp.ConfigResources = errorCode(err), resources
		return reply{msg: resp}
	}
}

func (b *Broker) configResources(
	req *kmsg.ListConfigResourcesRequest,
) ([]kmsg.ListConfigResourcesResponseConfigResource, error) {
	if req.Version == 0 {
		return nil, nil
	}
	v := b.view()
	topics := slices.Sorted(maps.Keys(v.Topics))
	var brokers []string
	for _, n := range sortedBrokers(v.Image) {
		brokers = append(brokers, strconv.Itoa(int(n.ID)))
	}
	names := map[kmsg.ConfigResourceType][]string{
		kmsg.ConfigResourceTypeTopic: topics, kmsg.ConfigResourceTypeBroker: brokers, kmsg.ConfigResourceTypeBrokerLogger: nil,
		kmsg.ConfigResourceTypeClientMetrics: nil, kmsg.ConfigResourceTypeGroupConfig: slices.Sorted(maps.Keys(v.GroupConfigs)),
	}
	wanted := map[kmsg.ConfigResourceType]bool{}
	for _, kind := range req.ResourceTypes {
		if _, known := names[kmsg.ConfigResourceType(kind)]; !known {
			return nil, fmt.Errorf("%w: resources of type %d", errUnsupported, kind)
		}
		wanted[kmsg.ConfigResourceType(kind)] = true
	}
	var list []kmsg.ListConfigResourcesResponseConfigResource
	for _, kind := range slices.Sorted(maps.Keys(names)) {
		if len(wanted) > 0 && !wanted[kind] {
			continue
		}
		for _, name := range names[kind] {
			rc := kmsg.NewListConfigResourcesResponseConfigResource()
			rc.Name, rc.Type = name, int8(kind)
			list = append(list, rc)
		}
	}
	return list, nil
}
