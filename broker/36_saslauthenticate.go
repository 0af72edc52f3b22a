package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// SaslAuthenticate (36), versions 0 to 2 (KIP-152). 1: session lifetime (KIP-368). 2: flexible. See SaslHandshake: there is
// nothing to authenticate.

func startSASLAuthenticate(_ context.Context, _ *Broker, r *request) finish {
	resp := r.msg.ResponseKind().(*kmsg.SASLAuthenticateResponse)
	resp.ErrorCode, resp.ErrorMessage = errorFields(errNoSASL)
	resp.SASLAuthBytes = []byte{}
	return answer(resp)
}
