package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeCluster (60), versions 0 to 2 (KIP-700). 1: endpoint type (KIP-919). 2: fenced brokers: those that do not answer.

// Endpoint types.
const (
	endpointBrokers     = 1
	endpointControllers = 2
)

func startDescribeCluster(_ context.Context, b *Broker, r *request) finish {
	req := r.msg.(*kmsg.DescribeClusterRequest)
	return func(context.Context) reply {
		resp := kmsg.NewPtrDescribeClusterResponse()
		resp.Version = req.Version
		resp.ControllerID = -1
		if err := checkEndpoint(req); err != nil {
			resp.ErrorCode, resp.ErrorMessage = errorFields(err)
			return reply{msg: resp}
		}
		v := b.view()
		resp.ClusterID, resp.ControllerID = v.ClusterID, b.controllerID(v.Image)
		for _, n := range sortedBrokers(v.Image) {
			fenced := !b.aliveServer(serverID(n))
			if fenced && !req.IncludeFencedBrokers {
				continue
			}
			rb := kmsg.NewDescribeClusterResponseBroker()
			rb.NodeID, rb.Rack, rb.IsFenced = n.ID, nullable(n.Rack), fenced
			rb.Host, rb.Port = b.endpoint(r.conn, n)
			resp.Brokers = append(resp.Brokers, rb)
		}
		if req.IncludeClusterAuthorizedOperations {
			resp.ClusterAuthorizedOperations = clusterOperations
		}
		return reply{msg: resp}
	}
}

func checkEndpoint(req *kmsg.DescribeClusterRequest) error {
	switch {
	case req.Version < 1 || req.EndpointType == endpointBrokers:
		return nil
	case req.EndpointType == endpointControllers:
		return errWrongEndpoint
	}
	return fmt.Errorf("%w %d", errEndpointType, req.EndpointType)
}
