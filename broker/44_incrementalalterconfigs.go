package broker

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
		all := make([]alteration, len(req.Resources))
		for i := range req.Resources {
			all[i] = incremental(&req.Resources[i])
		}
		b.alterEach(ctx, all, req.ValidateOnly, func(res configResource, err error) {
			rr := kmsg.NewIncrementalAlterConfigsResponseResource()
			rr.ResourceType, rr.ResourceName = res.kind, res.name
			rr.ErrorCode, rr.ErrorMessage = errorFields(err)
			resp.Resources = append(resp.Resources, rr)
		})
		return reply{msg: resp}
	}
}

func incremental(res *kmsg.IncrementalAlterConfigsRequestResource) alteration {
	a := alteration{configResource: configResource{res.ResourceType, res.ResourceName}}
	a.changes = func(have map[string]string) ([]controller.ConfigChange, error) {
		return incrementalChanges(have, res.Configs, a.listDefault)
	}
	for i := range res.Configs {
		a.names = append(a.names, res.Configs[i].Name)
	}
	return a
}

// incrementalChanges turns a request's operations into changes of what a resource sets now. What is not there can be removed,
// whatever it is.
func incrementalChanges(have map[string]string, configs []kmsg.IncrementalAlterConfigsRequestResourceConfig,
	listDefault func(key string) (string, bool),
) ([]controller.ConfigChange, error) {
	var changes []controller.ConfigChange
	for i := range configs {
		c := &configs[i]
		if c.Value == nil && c.Op != kmsg.IncrementalAlterConfigOpDelete {
			return nil, fmt.Errorf("%w: null value not supported for: %s", errInvalidRequest, c.Name)
		}
		switch c.Op {
		case kmsg.IncrementalAlterConfigOpSet:
			changes = append(changes, controller.ConfigChange{Key: c.Name, Value: c.Value})
		case kmsg.IncrementalAlterConfigOpDelete:
			changes = append(changes, controller.ConfigChange{Key: c.Name})
		case kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract:
			usual, isList := listDefault(c.Name)
			if !isList {
				return nil, fmt.Errorf("%w: can't %s to key %s because its type is not LIST", topicconfig.ErrInvalid, c.Op, c.Name)
			}
			old, set := have[c.Name]
			if !set { // whatever another resource sets: that may change
				old = usual
			}
			value := changedList(old, *c.Value, c.Op)
			changes = append(changes, controller.ConfigChange{Key: c.Name, Value: &value})
		default:
			return nil, fmt.Errorf("%w: unknown operation %d", errInvalidRequest, int8(c.Op))
		}
	}
	return changes, nil
}

// changedList is a list with items appended that it does not have, or with items taken out.
func changedList(list, items string, op kmsg.IncrementalAlterConfigOp) string {
	result := topicconfig.Items(list)
	for item := range strings.SplitSeq(items, ",") {
		item = strings.TrimSpace(item)
		has := slices.Contains(result, item)
		switch {
		case op == kmsg.IncrementalAlterConfigOpSubtract && has:
			result = slices.DeleteFunc(result, func(s string) bool { return s == item })
		case op == kmsg.IncrementalAlterConfigOpAppend && !has:
			result = append(result, item)
		}
	}
	return strings.Join(result, ",")
}
