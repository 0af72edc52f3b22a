package partition

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/quirelog/quire/segment/vfs"
)

// A partition's directory says whose it is in the file partition.meta, which is written before anything else:
//
//	quire partition 1
//	topic-id <32 hexadecimal digits>
//	partition <number>
//	crc32c <8 hexadecimal digits, over all before this line>
//
// It is replaced as a whole (rename), so it is there and whole, or it is not there.
const (
	metaName      = "partition.meta"
	metaTemp      = metaName + ".tmp"
	metaFirstLine = "quire partition 1\n"
	metaMaxBytes  = 256
	deletedSuffix = ".deleted"
)

var errMeta = errors.New("malformed " + metaName)

func encodeMeta(id ID) []byte {
	b := fmt.Appendf(nil, metaFirstLine+"topic-id %x\npartition %d\n", id.Topic, id.Partition)
	return fmt.Appendf(b, "crc32c %08x\n", crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// decodeMeta accepts exactly what encodeMeta makes.
func decodeMeta(b []byte) (ID, error) {
	if !strings.HasPrefix(string(b), metaFirstLine) {
		return ID{}, fmt.Errorf("%w: it does not begin with %q", errMeta, metaFirstLine)
	}
	fields := strings.Fields(string(b[len(metaFirstLine):]))
	if len(fields) != 6 {
		return ID{}, fmt.Errorf("%w: %d fields", errMeta, len(fields))
	}
	id, err := parseID(fields[1], fields[3])
	if err != nil {
		return ID{}, fmt.Errorf("%w: %w", errMeta, err)
	}
	if string(encodeMeta(id)) != string(b) {
		return ID{}, fmt.Errorf("%w: checksum or layout is wrong", errMeta)
	}
	return id, nil
}

func parseID(topic, number string) (ID, error) {
	var id ID
	t, err := hex.DecodeString(topic)
	if err != nil || len(t) != len(id.Topic) {
		return ID{}, fmt.Errorf("topic id %q is not 32 hexadecimal digits", topic)
	}
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || n < 0 {
		return ID{}, fmt.Errorf("partition %q is not a number", number)
	}
	copy(id.Topic[:], t)
	id.Partition = int32(n)
	return id, nil
}

// deletedName is what a directory is called from the moment that its partition is deleted.
func deletedName(id ID) string {
	return fmt.Sprintf("%x-%d%s", id.Topic, id.Partition, deletedSuffix)
}

// parseDeletedName is false for a directory that is not one of deletedName's.
func parseDeletedName(name string) (ID, bool) {
	topic, number, ok := strings.Cut(strings.TrimSuffix(name, deletedSuffix), "-")
	if !ok {
		return ID{}, false
	}
	id, err := parseID(topic, number)
	return id, err == nil && deletedName(id) == name
}

// readMeta is fs.ErrNotExist when dir or the file is missing.
func readMeta(fsys vfs.FS, dir string) (ID, error) {
	name := path.Join(dir, metaName)
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return ID{}, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return ID{}, err
	}
	if size > metaMaxBytes {
		return ID{}, fmt.Errorf("%s: %w: %d bytes", name, errMeta, size)
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil {
		return ID{}, fmt.Errorf("%s: %w", name, err)
	}
	id, err := decodeMeta(b)
	if err != nil {
		return ID{}, fmt.Errorf("%s: %w", name, err)
	}
	return id, nil
}

// makeDir makes a partition's directory, or finishes making it after a crash. What it puts in is durable; the directory's own name is
// made so by segment.Open, before anything that counts is in it. It refuses a directory that holds something and does not say
// whose it is.
func makeDir(fsys vfs.FS, parent, name string, id ID) error {
	dir := path.Join(parent, name)
	entries, err := fsys.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if e.Name() != metaTemp {
			return fmt.Errorf("%s holds %s but no %s, which says whose it is", dir, e.Name(), metaName)
		}
	}
	if err := fsys.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := writeSynced(fsys, path.Join(dir, metaTemp), encodeMeta(id)); err != nil {
		return err
	}
	if err := fsys.Rename(path.Join(dir, metaTemp), path.Join(dir, metaName)); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

func writeSynced(fsys vfs.FS, name string, b []byte) error {
	f, err := fsys.OpenFile(name, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(b, 0); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
