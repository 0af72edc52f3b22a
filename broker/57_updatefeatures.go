package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// UpdateFeatures (57), versions 0 to 2 (KIP-584). 1: kinds of change and validation (KIP-778). 2: one error for all. No
// feature here has a level that could be changed, and ApiVersions announces none; so each change fails as Kafka's do for a
// feature that it does not know, and with it the whole request.

func startUpdateFeatures(_ context.Context, _ *Broker, r *request) finish {
	req := r.msg.(*kmsg.UpdateFeaturesRequest)
	resp := req.ResponseKind().(*kmsg.UpdateFeaturesResponse)
	if len(req.FeatureUpdates) > 0 {
		first := req.FeatureUpdates[0]
		resp.ErrorCode, resp.ErrorMessage = errorFields(fmt.Errorf("%w: level %d of %s: there is no such feature",
			errUpdateFeature, first.MaxVersionLevel, first.Feature))
	}
	return answer(resp)
}
