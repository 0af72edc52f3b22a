package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/quirelog/quire/replication/controller"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// AlterConfigs (33), versions 0 to 2. 2: flexible. The request replaces all of a resource's configuration: what it does
// not name goes back to its default.

func startAlterConfigs(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.AlterConfigsRequest)
	return func(ctx context.Context) reply {
		resp := kmsg.NewPtrAlterConfigsResponse()
		resp.Version = req.Version
		all := make([]alteration, len(req.Resources))
		for i := range req.Resources {
			all[i] = replacing(&req.Resources[i])
		}
		b.alterEach(ctx, all, req.ValidateOnly, func(res configResource, err error) {
			rr := kmsg.NewAlterConfigsResponseResource()
			rr.ResourceType, rr.ResourceName = res.kind, res.name
			rr.ErrorCode, rr.ErrorMessage = errorFields(err)
			resp.Resources = append(resp.Resources, rr)
		})
		return reply{msg: resp}
	}
}

func replacing(res *kmsg.AlterConfigsRequestResource) alteration {
	a := alteration{
		configResource: configResource{res.ResourceType, res.ResourceName},
		changes: func(have map[string]string) ([]controller.ConfigChange, error) {
			return replacingChanges(have, res.Configs)
		},
	}
	for i := range res.Configs {
		a.names = append(a.names, res.Configs[i].Name)
	}
	return a
}

// replacingChanges sets what a request names and removes the rest of have, which a topic or a broker sets now.
func replacingChanges(
	have map[string]string, configs []kmsg.AlterConfigsRequestResourceConfig,
) ([]controller.ConfigChange, error) {
	gone := maps.Clone(have)
	var changes []controller.ConfigChange
	for i := range configs {
		c := &configs[i]
		if c.Value == nil {
			return nil, fmt.Errorf("%w: null value not supported for: %s", errInvalidRequest, c.Name)
		}
		changes = append(changes, controller.ConfigChange{Key: c.Name, Value: c.Value})
		delete(gone, c.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(gone)) {
		changes = append(changes, controller.ConfigChange{Key: name})
	}
	return changes, nil
}
