package main

import (
	"encoding/hex"
	"fmt"
	"path/filepath"

	"github.com/quirelog/quire/partition"
	"github.com/quirelog/quire/replication"
	"github.com/quirelog/quire/segment"
	"github.com/quirelog/quire/segment/vfs"
)

// What lies beside the segment files of a partition, as JSON.
type (
	metaView struct {
		Type      string `json:"type"` // partition
		File      string `json:"file"`
		TopicID   string `json:"topic_id"`
		Partition int32  `json:"partition"`
	}
	checkpointView struct {
		Type string `json:"type"` // checkpoint or clean
		segment.Mark
		LogStart *segment.Offset              `json:"log_start_offset,omitempty"`
		Group    *replication.CheckpointState `json:"group,omitempty"`
		State    *partition.State             `json:"partition_state,omitempty"`
	}
	sideView struct {
		Type   string             `json:"type"` // raft
		File   string             `json:"file"`
		Record segment.SideRecord `json:"record"`
	}
	indexView struct {
		Type  string             `json:"type"` // index
		File  string             `json:"file"`
		Entry segment.IndexEntry `json:"entry"`
	}
)

// beside prints what Kafka's tool cannot: the files beside the segments of the partition in dir.
func (d *dump) beside(dir string) error {
	for _, part := range []func(string) error{d.meta, d.marks, d.side} {
		if err := missing(part(dir)); err != nil {
			return err
		}
	}
	return nil
}

// tell prints one thing as JSON or as a line.
func (d *dump) tell(v any, format string, args ...any) error {
	if d.c.format != "table" {
		return d.item(v)
	}
	_, err := fmt.Fprintf(d.c.out, format+"\n", args...)
	return err
}

func (d *dump) meta(dir string) error {
	id, err := partition.ReadMeta(vfs.OS, dir)
	if err != nil {
		return err
	}
	file, topic := filepath.Join(dir, partition.MetaFile), hex.EncodeToString(id.Topic[:])
	return d.tell(metaView{"partition", file, topic, id.Partition}, "partition.meta topicId: %s partition: %d", topic, id.Partition)
}

func (d *dump) marks(dir string) error {
	c, m, err := segment.ReadCheckpoint(vfs.OS, dir)
	if err == nil {
		err = d.checkpoint(c, m)
	}
	if missing(err) != nil {
		return err
	}
	m, err = segment.ReadMarker(vfs.OS, dir)
	if err != nil {
		return err
	}
	return d.tell(checkpointView{Type: "clean", Mark: m}, "clean %s", markLine(m))
}

func (d *dump) checkpoint(c segment.Checkpoint, m segment.Mark) error {
	group, err := replication.DecodeCheckpointState(c.State)
	if err != nil {
		return err
	}
	state, err := partition.DecodeState(group.Machine)
	if err != nil {
		return err
	}
	return d.tell(checkpointView{"checkpoint", m, &c.Start, &group, &state},
		"checkpoint %s logStartOffset: %d configIndex: %d voters: %v others: %v producers: %d",
		markLine(m), c.Start, group.ConfigIndex, group.Voters, group.Others, state.Producers)
}

func markLine(m segment.Mark) string {
	return fmt.Sprintf("index: %d term: %d endOffset: %d segment: %d position: %d sidePosition: %d indexEntries: %d",
		m.Index, m.Term, m.End, m.Base, m.Position, m.Side, m.Entries)
}

// side prints the side file, and after each record that opens a segment the segment's index. What is good before damage is
// printed.
func (d *dump) side(dir string) error {
	records, bad := segment.ReadSideFile(vfs.OS, dir)
	for _, r := range records {
		err := d.tell(sideView{"raft", filepath.Join(dir, "raft.entries"), r},
			"raft.entries byte: %d type: %s kind: %d index: %d term: %d offset: %d position: %d payloadSize: %d",
			r.At, r.Type, r.Kind, r.Index, r.Term, r.Offset, r.Position, len(r.Payload))
		if err == nil && r.Type == "segment" {
			err = missing(d.index(dir, r))
		}
		if err != nil {
			return err
		}
	}
	return bad
}

func (d *dump) index(dir string, r segment.SideRecord) error {
	name := fmt.Sprintf("%020d.qidx", r.Offset)
	entries, bad := segment.ReadIndex(vfs.OS, dir, r.Offset, r.Index)
	for _, e := range entries {
		newest := "none"
		if e.Newest != nil {
			newest = fmt.Sprint(*e.Newest)
		}
		err := d.tell(indexView{"index", filepath.Join(dir, name), e},
			"%s offset: %d index: %d position: %d newestTimestamp: %s newestPosition: %d", name, e.Offset, e.Index, e.Position,
			newest, e.NewestPos)
		if err != nil {
			return err
		}
	}
	if bad != nil {
		return fmt.Errorf("%s: %w", name, bad)
	}
	return nil
}
