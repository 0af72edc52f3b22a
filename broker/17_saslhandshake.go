package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// SaslHandshake (17), versions 0 and 1 (KIP-43, KIP-152). The listener asks nobody who they are: as on Kafka's listeners
// without SASL the answer is ILLEGAL_SASL_STATE, no mechanism, and the connection goes on.

func startSASLHandshake(_ context.Context, _ *Broker, r *request) finish {
	resp := r.msg.ResponseKind().(*kmsg.SASLHandshakeResponse)
	resp.ErrorCode = errorCode(errNoSASL)
	return answer(resp)
}
