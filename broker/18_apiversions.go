package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ApiVersions, key 18, versions 0 to 5. Version 1 adds the throttle time; 3 is flexible, except for the response header, and
// names the client's software (KIP-511); 5 says which cluster and broker the client means to talk to (KIP-1242).

func startApiVersions(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.ApiVersionsRequest)
	resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
	resp.ErrorCode = b.checkApiVersions(req)
	if resp.ErrorCode == 0 {
		for _, row := range b.dispatch.rows {
			resp.ApiKeys = append(resp.ApiKeys, supported(row))
		}
	}
	return answer(resp)
}

// checkApiVersions returns the error code of a request at a version that is known.
func (b *Broker) checkApiVersions(req *kmsg.ApiVersionsRequest) int16 {
	if req.Version >= 3 && !(validSoftware(req.ClientSoftwareName) && validSoftware(req.ClientSoftwareVersion)) {
		return kerr.InvalidRequest.Code
	}
	if req.Version < 5 || req.ClusterID == nil && req.NodeID == -1 {
		return 0
	}
	if req.ClusterID == nil || req.NodeID == -1 {
		return kerr.InvalidRequest.Code
	}
	if *req.ClusterID != b.clusterID || req.NodeID != b.cfg.NodeID {
		return kerr.RebootstrapRequired.Code
	}
	return 0
}

// unsupportedApiVersions answers a version that the broker does not know: a version 0 body, whatever was asked for, with the
// versions of this one key, so that the client can ask again.
func unsupportedApiVersions(row api) finish {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = kerr.UnsupportedVersion.Code
	resp.ApiKeys = []kmsg.ApiVersionsResponseApiKey{supported(row)}
	return answer(resp)
}

func supported(row api) kmsg.ApiVersionsResponseApiKey {
	k := kmsg.NewApiVersionsResponseApiKey()
	k.ApiKey, k.MinVersion, k.MaxVersion = row.key.Int16(), row.min, row.max
	return k
}

// validSoftware reports whether s is letters, digits, dots and dashes, with a letter or digit at both ends (KIP-511).
func validSoftware(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		inner := i > 0 && i < len(s)-1
		if !alnum && !(inner && (c == '.' || c == '-')) {
			return false
		}
	}
	return s != ""
}
