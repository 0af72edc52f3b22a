package main

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/quirelog/quire/interop/members"
)

// consumer is a member of a group. Everything happens on the goroutine that polls, the callback included.
type consumer struct {
	out     *members.Printer
	c       *kafka.Consumer
	topic   string
	printed []members.Record // read and not yet said
	pending map[int32]int64  // said and not committed, of partitions that are still owned: the offset to read next
}

func member(bootstrap, group, topic, assignor, instance, session string) error {
	ms, err := strconv.Atoi(session)
	if err != nil {
		return err
	}
	config := kafka.ConfigMap{"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": false, "auto.offset.reset": "earliest",
		"max.poll.interval.ms": 30_000, "fetch.wait.max.ms": 300, "reconnect.backoff.max.ms": 1000, "socket.timeout.ms": 6000, "debug": cmp.Or(os.Getenv("QUIRE_LIBRDKAFKA_DEBUG"), "cgrp")}
	if assignor == "consumer" {
		config["group.protocol"] = "consumer"
	} else {
		config["session.timeout.ms"], config["heartbeat.interval.ms"] = ms, ms/6
		config["partition.assignment.strategy"] = assignor
	}
	if instance != "" {
		config["group.instance.id"] = instance
	}
	m := &consumer{out: members.NewPrinter(os.Stdout), topic: topic, pending: map[int32]int64{}}
	if m.c, err = kafka.NewConsumer(&config); err != nil {
		return err
	}
	if err := m.c.Subscribe(topic, m.rebalanced); err != nil {
		return err
	}
	if err = m.run(members.ToldToEnd()); fencedByItself(err) {
		m.out.Say(members.Event{Kind: members.Restarted, Why: "fenced by itself"})
		return syscall.Exec(os.Args[0], os.Args, os.Environ()) // Close does not end after that
	}
	return err
}

func (m *consumer) run(ended <-chan struct{}) error {
	for {
		select {
		case <-ended:
			m.flush()
			m.out.Say(members.Event{Kind: members.Leaving})
			return m.c.Close()
		default:
		}
		if err := m.poll(); err != nil {
			return err
		}
	}
}

// fencedByItself: librdkafka (2.11.1, 2.16.0) that was stopped for its session forgets its member id, and then sends one more heartbeat,
// without an id. To a broker that has the member still, by a later commit, that is not the static member, and the client ends on the answer.
func fencedByItself(err error) bool { return err != nil && strings.Contains(err.Error(), "fenced") }

// poll reads up to 200 records, as long as some are there, says them and commits.
func (m *consumer) poll() error {
	for wait := 200; len(m.printed) < 200; wait = 0 {
		switch e := m.c.Poll(wait).(type) {
		case nil:
			m.flush()
			return nil
		case *kafka.Message:
			rec := members.Record{int64(e.TopicPartition.Partition), int64(e.TopicPartition.Offset)}
			fmt.Sscanf(string(e.Value), "%d %d", &rec[2], &rec[3])
			m.printed = append(m.printed, rec)
		case kafka.Error:
			if e.IsFatal() || e.Code() == kafka.ErrMaxPollExceeded {
				return e
			}
		}
	}
	m.flush()
	return nil
}

// flush says what was read and commits it. What the broker refuses is tried again, unless its partition goes.
func (m *consumer) flush() {
	if len(m.printed) > 0 {
		m.out.Say(members.Event{Kind: members.Records, Records: m.printed})
	}
	for _, r := range m.printed {
		m.pending[int32(r[0])] = r[1] + 1
	}
	m.printed = nil
	if len(m.pending) == 0 {
		return
	}
	var offsets []kafka.TopicPartition
	said := members.Event{Kind: members.Committed, Sent: members.Now()}
	for p, o := range m.pending {
		offsets = append(offsets, kafka.TopicPartition{Topic: &m.topic, Partition: p, Offset: kafka.Offset(o)})
		said.Offsets = append(said.Offsets, [2]int64{int64(p), o})
	}
	got, err := m.c.CommitOffsets(offsets)
	for _, tp := range got {
		err = cmp.Or(err, tp.Error)
	}
	if err != nil {
		m.out.Say(members.Event{Kind: members.Refused, Why: err.Error()})
		return
	}
	clear(m.pending)
	m.out.Say(said)
}

func (m *consumer) rebalanced(_ *kafka.Consumer, event kafka.Event) error {
	switch e := event.(type) {
	case kafka.AssignedPartitions:
		m.say(members.Assigned, e.Partitions)
	case kafka.RevokedPartitions:
		kind := members.Revoked
		if m.c.AssignmentLost() {
			kind = members.Lost
		} else {
			m.flush()
		}
		gone := map[int64]bool{}
		for _, tp := range e.Partitions {
			gone[int64(tp.Partition)] = true
			delete(m.pending, tp.Partition)
		}
		var kept []members.Record
		for _, r := range m.printed {
			if !gone[r[0]] {
				kept = append(kept, r)
			}
		}
		m.printed = kept
		m.say(kind, e.Partitions)
	}
	return nil
}

func (m *consumer) say(kind string, tps []kafka.TopicPartition) {
	said := members.Event{Kind: kind}
	for _, tp := range tps {
		said.Partitions = append(said.Partitions, tp.Partition)
	}
	if len(tps) > 0 {
		m.out.Say(said)
	}
}
