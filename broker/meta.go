package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/replication/controller"
)

const (
	// dataDirFormat 2 has the incarnation in quire.meta; before, only the controller's directory had it.
	dataDirFormat = 2
	maxMetaBytes  = 64 << 10
)

// dirMeta is quire.meta: whose the data directory is. It is written when the directory is made, and again when the broker's cluster is
// known: before anything else of the cluster is in the directory.
type dirMeta struct {
	Format    int    `json:"format"`
	NodeID    int32  `json:"node_id"`
	ClusterID string `json:"cluster_id"` // "": not known yet
	// Incarnation is this directory's, for as long as it lives: a broker that lost its directory is another voter.
	Incarnation string `json:"incarnation"`
	// Founders are the first brokers of the cluster; only in the directory of the one that founds it.
	Founders []controller.Broker `json:"founders,omitempty"`
}

// server is this broker's name in all Raft groups.
func (m *dirMeta) server() replication.ServerID {
	return serverID(controller.Broker{ID: m.NodeID, Incarnation: m.Incarnation})
}

// openMeta reads quire.meta, and writes it to a new directory. The caller holds the lock.
func openMeta(dir string, nodeID int32) (dirMeta, error) {
	path := filepath.Join(dir, metaFile)
	text, err := readLimited(path, maxMetaBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return newMeta(dir, nodeID)
	}
	if err != nil {
		return dirMeta{}, err
	}
	var m dirMeta
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("%s is damaged: %w", path, err)
	}
	switch {
	case m.Format > dataDirFormat:
		return m, fmt.Errorf("data directory %s has format %d, this version of quire knows %d: use a newer one", dir, m.Format, dataDirFormat)
	case m.Format < 1 || m.Format == 1 && m.ClusterID == "" || m.Format > 1 && m.Incarnation == "":
		return m, fmt.Errorf("%s is damaged: it has no format, or no cluster id or incarnation", path)
	case m.NodeID != nodeID:
		return m, &NodeIDError{Dir: dir, Node: m.NodeID, Configured: nodeID}
	case m.Format == 1:
		return m.upgraded(dir)
	}
	return m, nil
}

// newMeta makes dir a data directory.
func newMeta(dir string, nodeID int32) (dirMeta, error) {
	for _, name := range []string{controllerDir, replication.VotesFile} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return dirMeta{}, fmt.Errorf("data directory %s has %s but no %s: it is not whole, restore it from a backup", dir, name, metaFile)
		}
	}
	m := dirMeta{Format: dataDirFormat, NodeID: nodeID, Incarnation: newUUID()}
	return m, m.write(dir)
}

// upgraded is a directory of format 1, in which the controller alone knows the incarnation.
func (m dirMeta) upgraded(dir string) (dirMeta, error) {
	x, err := controller.Examine(filepath.Join(dir, controllerDir))
	if err != nil {
		return m, fmt.Errorf("data directory %s: %w", dir, err)
	}
	id, incarnation := splitServer(replication.ServerID(x.Server))
	if id != m.NodeID || incarnation == "" {
		return m, fmt.Errorf("data directory %s belongs to node %d, but its controller to %q: it is not whole, restore it from a backup",
			dir, m.NodeID, x.Server)
	}
	m.Format, m.Incarnation = dataDirFormat, incarnation
	return m, m.write(dir)
}

// write makes m durable.
func (m *dirMeta) write(dir string) error {
	text, err := json.Marshal(m)
	if err == nil {
		err = replaceFile(dir, metaFile, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", metaFile, err)
	}
	return nil
}

func newUUID() string { return controller.TopicID(uuid.New()).String() }
