package partition

import (
	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/vfs"
)

// MetaFile is the name of the file in a partition's directory that says whose it is.
const MetaFile = metaName

// ReadMeta says whose partition's the directory is: fs.ErrNotExist when it or its partition.meta is missing.
func ReadMeta(fsys vfs.FS, dir string) (ID, error) { return readMeta(fsys, dir) }

// ParseDeletedName is the partition whose deletion a directory's name notes; false for other names.
func ParseDeletedName(name string) (ID, bool) { return parseDeletedName(name) }

// State is the partition's own part of a checkpoint, for people to look at.
type State struct {
	End       segment.Offset `json:"end_offset"`
	Producers int            `json:"producers"` // idempotent ones that are remembered
}

// DecodeState decodes what a partition keeps in a checkpoint.
func DecodeState(b []byte) (State, error) {
	s := newProducers(0)
	if err := s.decode(b); err != nil {
		return State{}, err
	}
	return State{End: s.end, Producers: len(s.byID)}, nil
}
