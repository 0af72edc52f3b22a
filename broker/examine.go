package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/quirelog/quire/partition"
	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/replication/controller"
	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/vfs"
)

// Examined is a part of a data directory that ExamineDir has gone through: one partition, or "" for what belongs to none.
type Examined struct {
	Partition string          `json:"partition,omitempty"` // its directory
	Segments  int             `json:"segments"`
	Batches   int64           `json:"batches"`
	Records   int64           `json:"records"`
	Bytes     int64           `json:"bytes"`
	Start     segment.Offset  `json:"start_offset"`
	End       segment.Offset  `json:"end_offset"`
	Clean     bool            `json:"clean"` // closed cleanly
	Faults    []segment.Fault `json:"faults"`
	Notes     []segment.Fault `json:"notes"`
}

// ExamineOptions of ExamineDir; each may be nil.
type ExamineOptions struct {
	Progress func(bytes int64) // as they are read
	Each     func(Examined)    // of each partition, in the order of names, and last of the directory itself
}

// LockShared keeps brokers from starting on a data directory until release is called, and writes nothing. *LockedError when one is
// running on it. A directory that no broker ever locked needs no lock.
func LockShared(dir string) (release func() error, err error) {
	f, err := os.Open(filepath.Join(dir, lockFile))
	if errors.Is(err, fs.ErrNotExist) {
		return func() error { return nil }, nil
	}
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if err == nil {
		return f.Close, nil
	}
	defer f.Close()
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	text := make([]byte, 32)
	n, _ := f.ReadAt(text, 0) // without it the process is unknown
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	return nil, &LockedError{Dir: dir, PID: pid}
}

// ExamineDir checks a data directory that no broker uses, and writes nothing (see segment.Examine for what is a fault and what a
// note). Files are named relative to dir. It ends early only when a file cannot be read or ctx ends.
func ExamineDir(ctx context.Context, dir string, o ExamineOptions) error {
	x := dirExam{dir: dir, o: o, ids: map[partition.ID]string{}}
	if x.o.Each == nil {
		x.o.Each = func(Examined) {}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if err := x.loadController(); err != nil {
		return fmt.Errorf("examine %s: %w", dir, err)
	}
	for _, e := range entries {
		if err := x.entry(ctx, e); err != nil {
			return fmt.Errorf("examine %s: %w", dir, err)
		}
	}
	if err := x.votes(); err != nil {
		return fmt.Errorf("examine %s: %w", dir, err)
	}
	x.meta()
	x.o.Each(x.out)
	return nil
}

// dirExam is the examination of one data directory.
type dirExam struct {
	dir        string
	o          ExamineOptions
	out        Examined // of what belongs to no partition
	controller controller.Examination
	ids        map[partition.ID]string // directories, by whose they are
}

func (x *dirExam) fault(file string, at int64, format string, args ...any) {
	x.out.Faults = append(x.out.Faults, segment.Fault{File: file, At: at, Problem: fmt.Sprintf(format, args...)})
}

func (x *dirExam) note(file, format string, args ...any) {
	x.out.Notes = append(x.out.Notes, segment.Fault{File: file, Problem: fmt.Sprintf(format, args...)})
}

func (x *dirExam) loadController() error {
	dir := filepath.Join(x.dir, controllerDir)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		x.fault(controllerDir, 0, "the directory is missing")
		return nil
	}
	var err error
	x.controller, err = controller.Examine(dir)
	x.out.Faults = append(x.out.Faults, within(controllerDir, x.controller.Faults)...)
	x.out.Notes = append(x.out.Notes, within(controllerDir, x.controller.Notes)...)
	return err
}

// within names the files of a directory as seen from the one above.
func within(dir string, faults []segment.Fault) []segment.Fault {
	for i := range faults {
		faults[i].File = filepath.Join(dir, faults[i].File)
	}
	return faults
}

func (x *dirExam) entry(ctx context.Context, e fs.DirEntry) error {
	name := e.Name()
	switch id, deleted := partition.ParseDeletedName(name); {
	case name == lockFile, name == metaFile, name == peersFile, name == controllerDir, name == replication.VotesFile:
		return nil
	case deleted:
		x.ids[id] = name
		x.note(name, "is being deleted; the next start goes on with it")
		return nil
	case partition.IsReset(name):
		x.note(name, "is what was left of a fenced replica that has begun anew; the next start removes it")
		return nil
	case e.IsDir() && isPartitionName(name):
		return x.partition(ctx, name)
	}
	x.note(name, "is not of Quire's making")
	return nil
}

func isPartitionName(name string) bool {
	i := strings.LastIndexByte(name, '-')
	if i <= 0 {
		return false
	}
	_, err := strconv.ParseUint(name[i+1:], 10, 31)
	return err == nil
}

// partition examines one partition's directory.
func (x *dirExam) partition(ctx context.Context, name string) error {
	log, err := segment.Examine(ctx, vfs.OS, filepath.Join(x.dir, name), x.o.Progress)
	if err != nil {
		return err
	}
	p := Examined{
		Partition: name, Segments: log.Segments, Batches: log.Batches, Records: log.Records, Bytes: log.Bytes,
		Start: log.Start, End: log.End, Clean: log.Clean, Faults: within(name, log.Faults), Notes: within(name, log.Notes),
	}
	if log.Checkpoint != nil {
		if err := checkState(log.Checkpoint); err != nil {
			p.Faults = append(p.Faults, segment.Fault{File: filepath.Join(name, "checkpoint"), At: stateAt, Problem: err.Error()})
		}
	}
	x.owner(&p)
	if reason := partition.ReadFence(vfs.OS, filepath.Join(x.dir, name)); reason != "" {
		p.Notes = append(p.Notes, segment.Fault{File: filepath.Join(name, "fenced"), Problem: "the replica is fenced since " + reason})
	}
	for _, sub := range []string{"installing", "installed", "moving"} {
		if _, err := os.Stat(filepath.Join(x.dir, name, sub)); err == nil {
			p.Notes = append(p.Notes, segment.Fault{File: filepath.Join(name, sub), Problem: "a copy from another replica is under way"})
		}
	}
	x.o.Each(p)
	return nil
}

// stateAt is where the state begins in a checkpoint file.
const stateAt = 84

func checkState(c *segment.Checkpoint) error {
	group, err := replication.DecodeCheckpointState(c.State)
	if err != nil {
		return err
	}
	state, err := partition.DecodeState(group.Machine)
	if err != nil {
		return err
	}
	if state.End != c.End || group.ConfigIndex > c.Index {
		return fmt.Errorf("state of offset %d and configuration of entry %d in a checkpoint at entry %d, offset %d",
			state.End, group.ConfigIndex, c.Index, c.End)
	}
	return nil
}

// owner checks whose directory it is.
func (x *dirExam) owner(p *Examined) {
	file := filepath.Join(p.Partition, partition.MetaFile)
	id, err := partition.ReadMeta(vfs.OS, filepath.Join(x.dir, p.Partition))
	topic, fits := strings.CutSuffix(p.Partition, fmt.Sprintf("-%d", id.Partition))
	known := x.topic(topic)
	switch {
	case err != nil:
		p.Faults = append(p.Faults, segment.Fault{File: file, Problem: err.Error()})
		return
	case !fits:
		p.Faults = append(p.Faults, segment.Fault{File: file, Problem: fmt.Sprintf("it is of partition %d", id.Partition)})
	case x.controller.Image == nil:
	case known == nil || known.ID != id.Topic || int(id.Partition) >= len(known.Partitions):
		p.Notes = append(p.Notes, segment.Fault{File: p.Partition, Problem: "its topic is deleted; the next start deletes it"})
	}
	x.ids[id] = p.Partition
}

func (x *dirExam) topic(name string) *controller.Topic {
	if x.controller.Image == nil {
		return nil
	}
	return x.controller.Image.Topics[name]
}

// votes checks the votes file, and that what took part in votes is still there.
func (x *dirExam) votes() error {
	votes, faults, err := replication.ExamineVotes(filepath.Join(x.dir, replication.VotesFile))
	if errors.Is(err, fs.ErrNotExist) {
		x.fault(replication.VotesFile, 0, "the file is missing")
		return nil
	}
	x.out.Faults = append(x.out.Faults, faults...)
	for _, v := range votes {
		if x.ids[v.ID] != "" || x.controller.Image == nil {
			continue
		}
		t := x.controller.Image.TopicsByID[v.ID.Topic]
		switch {
		case t == nil:
			x.fault(replication.VotesFile, v.At, "vote of partition %d of topic id %x, which is nowhere", v.ID.Partition, v.ID.Topic)
		case v.Bootstrapped:
			x.fault(fmt.Sprintf("%s-%d", t.Name, v.ID.Partition), 0, "the directory is missing, it took part in votes up to term %d", v.Term)
		}
	}
	return err
}

// meta checks quire.meta against the controller.
func (x *dirExam) meta() {
	text, err := readLimited(filepath.Join(x.dir, metaFile), maxMetaBytes)
	if err != nil {
		x.fault(metaFile, 0, "%v", err)
		return
	}
	var m dirMeta
	if err := json.Unmarshal(text, &m); err != nil {
		x.fault(metaFile, 0, "%v", err)
		return
	}
	server, _, _ := strings.Cut(x.controller.Server, "-")
	switch image := x.controller.Image; {
	case m.Format < 1 || m.Format > dataDirFormat:
		x.fault(metaFile, 0, "format %d, known is %d", m.Format, dataDirFormat)
	case x.controller.Server != "" && server != strconv.Itoa(int(m.NodeID)),
		x.controller.Server != "" && m.Format > 1 && x.controller.Server != string(m.server()):
		x.fault(metaFile, 0, "node %d of incarnation %q, the controller's server id is %s", m.NodeID, m.Incarnation, x.controller.Server)
	case image != nil && image.ClusterID != "" && image.ClusterID != m.ClusterID:
		x.fault(metaFile, 0, "cluster id %q, the controller has %q", m.ClusterID, image.ClusterID)
	}
}
