package replication

import (
	"context"
	"errors"

	"github.com/quirelog/quire/replication/transport"
)

var errUnbuilt = errors.New("not built yet")

// HandleManifest answers MethodManifest: the files of a group's log up to its newest checkpoint. They stay as they are until the other broker has the group's log.
func (n *Node) HandleManifest(ctx context.Context, from ServerID, body []byte) ([]byte, error) {
	return nil, errUnbuilt
}

// HandleRead answers MethodRead: bytes of a file of a manifest that from was told.
func (n *Node) HandleRead(ctx context.Context, from ServerID, body []byte) ([]byte, error) {
	return nil, errUnbuilt
}

// NewRemoteSource is a replica on another broker, which call asks.
func NewRemoteSource(id GroupID, call func(ctx context.Context, m transport.Method, body []byte) ([]byte, error)) Source {
	return &remoteSource{}
}

type remoteSource struct{}

func (s *remoteSource) Manifest(ctx context.Context) (Manifest, error) { return Manifest{}, errUnbuilt }

func (s *remoteSource) ReadAt(ctx context.Context, name string, p []byte, off int64) (int, error) {
	return 0, errUnbuilt
}
