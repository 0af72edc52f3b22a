// Command confluent-go produces, consumes, makes load or is a member of a group with confluent-kafka-go (librdkafka, so it needs cgo), speaking the
// line protocol that ../README.md describes.
package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	switch args[0] {
	case "produce":
		return produce(out, args[1], args[2], args[3], args[4], args[5])
	case "consume":
		return consume(out, args[1], args[2])
	case "follow":
		return follow(args[1], args[2])
	case "load":
		return load(args[1], args[2], args[3], args[4], args[5])
	case "topics":
		return topics(out, args[1])
	case "transaction":
		return transaction(out, args[1])
	case "member":
		return member(args[1], args[2], args[3], args[4], args[5], args[6])
	}
	return fmt.Errorf("no command %q", args[0])
}

func decode(field string) ([]byte, error) {
	if field == "-" {
		return nil, nil
	}
	return hex.DecodeString(field)
}

func encode(b []byte) string {
	if b == nil {
		return "-"
	}
	return hex.EncodeToString(b)
}

func produce(out *bufio.Writer, bootstrap, topic, codec, idempotent, acks string) error {
	p, err := kafka.NewProducer(&kafka.ConfigMap{
		"bootstrap.servers": bootstrap, "compression.type": codec, "enable.idempotence": idempotent == "true", "acks": acks,
		"linger.ms": 5, "partitioner": "murmur2_random", "message.max.bytes": 4 << 20, "topic.metadata.refresh.interval.ms": 500,
		"go.delivery.reports": true, "go.logs.channel.enable": false,
	})
	if err != nil {
		return err
	}
	defer p.Close()
	reports := make(chan kafka.Event, 100_000) // librdkafka's own queue is as long
	in := bufio.NewReader(os.Stdin)
	for sent := 0; ; {
		line, err := in.ReadString('\n')
		if line == "" || line == "\n" {
			if err := report(out, reports, sent); err != nil {
				return err
			}
			sent = 0
			if errors.Is(err, io.EOF) {
				return nil
			}
			continue
		}
		m, err := parse(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return err
		}
		m.TopicPartition = kafka.TopicPartition{Topic: &topic, Partition: kafka.PartitionAny}
		m.Opaque = sent
		if err := p.Produce(m, reports); err != nil {
			return err
		}
		sent++
	}
}

func parse(line string) (*kafka.Message, error) {
	f := strings.Split(line, "\t")
	if len(f) != 4 {
		return nil, fmt.Errorf("%d fields, want 4", len(f))
	}
	key, err1 := decode(f[0])
	value, err2 := decode(f[1])
	ms, err3 := strconv.ParseInt(f[3], 10, 64)
	m := &kafka.Message{Key: key, Value: value, Timestamp: time.UnixMilli(ms)}
	errs := []error{err1, err2, err3}
	for h := range strings.SplitSeq(f[2], ";") {
		if k, v, ok := strings.Cut(h, "="); ok {
			b, err := hex.DecodeString(v)
			errs = append(errs, err)
			m.Headers = append(m.Headers, kafka.Header{Key: k, Value: b})
		}
	}
	return m, errors.Join(errs...)
}

// report waits for n delivery reports and prints them in the order of sending.
func report(out *bufio.Writer, reports <-chan kafka.Event, n int) error {
	at := make([]kafka.TopicPartition, n)
	for range n {
		m, ok := (<-reports).(*kafka.Message)
		if !ok {
			return errors.New("an event that is no delivery report")
		}
		if err := m.TopicPartition.Error; err != nil {
			return err
		}
		at[m.Opaque.(int)] = m.TopicPartition
	}
	for _, tp := range at {
		offset := int64(tp.Offset)
		if offset < 0 { // acks=0
			offset = -1
		}
		fmt.Fprintf(out, "%d\t%d\n", tp.Partition, offset)
	}
	return out.Flush()
}

func consume(out *bufio.Writer, bootstrap, topic string) error {
	c, err := kafka.NewConsumer(&kafka.ConfigMap{"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": false,
		"auto.offset.reset": "error", "max.partition.fetch.bytes": 4 << 20})
	if err != nil {
		return err
	}
	defer c.Close()
	meta, err := c.GetMetadata(&topic, false, 20_000)
	if err != nil {
		return err
	}
	left := map[int32]int64{}
	var assigned []kafka.TopicPartition
	for _, p := range meta.Topics[topic].Partitions {
		_, end, err := c.QueryWatermarkOffsets(topic, p.ID, 20_000)
		if err != nil {
			return err
		}
		if end > 0 {
			left[p.ID] = end
			assigned = append(assigned, kafka.TopicPartition{Topic: &topic, Partition: p.ID, Offset: kafka.OffsetBeginning})
		}
	}
	if err := c.Assign(assigned); err != nil {
		return err
	}
	for len(left) > 0 {
		m, err := c.ReadMessage(30 * time.Second)
		if err != nil {
			return err
		}
		print(out, m)
		if tp := m.TopicPartition; int64(tp.Offset)+1 >= left[tp.Partition] {
			delete(left, tp.Partition)
		}
	}
	return nil
}

func follow(bootstrap, topic string) error {
	c, err := kafka.NewConsumer(&kafka.ConfigMap{"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": false,
		"auto.offset.reset": "earliest", "topic.metadata.refresh.interval.ms": 500})
	if err != nil {
		return err
	}
	if err := c.Assign([]kafka.TopicPartition{{Topic: &topic, Offset: kafka.OffsetBeginning}}); err != nil {
		return err
	}
	for {
		switch e := c.Poll(500).(type) {
		case *kafka.Message:
			fmt.Println(string(e.Value))
		case kafka.Error:
			fmt.Println(e)
		}
	}
}

func print(out *bufio.Writer, m *kafka.Message) {
	headers := make([]string, len(m.Headers))
	for i, h := range m.Headers {
		headers[i] = h.Key + "=" + hex.EncodeToString(h.Value)
	}
	fmt.Fprintf(out, "%d\t%d\t%s\t%s\t%s\t%d\n", m.TopicPartition.Partition, m.TopicPartition.Offset, encode(m.Key), encode(m.Value),
		strings.Join(headers, ";"), m.Timestamp.UnixMilli())
}

func topics(out *bufio.Writer, bootstrap string) error {
	p, err := kafka.NewProducer(&kafka.ConfigMap{"bootstrap.servers": bootstrap})
	if err != nil {
		return err
	}
	defer p.Close()
	meta, err := p.GetMetadata(nil, true, 60_000)
	if err != nil {
		return err
	}
	for name, topic := range meta.Topics {
		fmt.Fprintf(out, "%s\t%d\n", name, len(topic.Partitions))
	}
	return nil
}

func transaction(out *bufio.Writer, bootstrap string) error {
	p, err := kafka.NewProducer(&kafka.ConfigMap{"bootstrap.servers": bootstrap, "transactional.id": "refused"})
	if err != nil {
		return err
	}
	defer p.Close()
	err = p.InitTransactions(nil)
	if err == nil {
		return errors.New("a transactional id was accepted")
	}
	fmt.Fprintln(out, strings.ReplaceAll(err.Error(), "\n", " "))
	return nil
}
