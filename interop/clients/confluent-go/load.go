package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/quirelog/quire/interop/members"
)

// load sends the values "ID NUMBER" to a topic's partitions in turn, one every pace microseconds, until its standard input ends, and says what becomes of each.
func load(bootstrap, topic, partitions, id, pace string) error {
	count, err1 := strconv.Atoi(partitions)
	micros, err2 := strconv.Atoi(pace)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	config := kafka.ConfigMap{
		"bootstrap.servers": bootstrap, "enable.idempotence": true, "acks": "all", "linger.ms": 5, "message.timeout.ms": 120_000,
		// a broker that is stopped breaks no connection
		"request.timeout.ms": 2000, "socket.timeout.ms": 3000, "topic.metadata.refresh.interval.ms": 1000, "reconnect.backoff.max.ms": 500,
	}
	if debug := os.Getenv("QUIRE_LIBRDKAFKA_DEBUG"); debug != "" {
		config["debug"] = debug
	}
	p, err := kafka.NewProducer(&config)
	if err != nil {
		return err
	}
	defer p.Close()
	fatal := make(chan error, 1)
	go tell(p.Events(), fatal)
	sent, err := send(p, topic, count, id, time.Duration(micros)*time.Microsecond, fatal)
	if left := p.Flush(60_000); left > 0 && err == nil {
		err = fmt.Errorf("%d records are neither acknowledged nor refused after a minute", left)
	}
	fmt.Println("sent", sent)
	return err
}

// send ends when the standard input does, or with the first fatal error.
func send(p *kafka.Producer, topic string, partitions int, id string, pace time.Duration, fatal <-chan error) (sent int, err error) {
	ended := members.ToldToEnd()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return sent, nil
		case err := <-fatal:
			return sent, err
		case <-tick.C:
		}
		to := kafka.TopicPartition{Topic: &topic, Partition: int32(sent % partitions)}
		switch err := p.Produce(&kafka.Message{TopicPartition: to, Value: fmt.Appendf(nil, "%s %d", id, sent), Opaque: sent}, nil); {
		case err == nil:
			sent++
		case err.(kafka.Error).Code() != kafka.ErrQueueFull: // the queue is full while no broker takes anything
			return sent, err
		}
	}
}

// tell prints what is acknowledged and what is not.
func tell(events <-chan kafka.Event, fatal chan<- error) {
	for event := range events {
		switch e := event.(type) {
		case *kafka.Message:
			if err := e.TopicPartition.Error; err != nil {
				fmt.Println("refused", e.Opaque, err)
			} else {
				fmt.Println("acked", e.Opaque, e.TopicPartition.Partition, int64(e.TopicPartition.Offset))
			}
		case kafka.Error:
			if e.IsFatal() {
				select {
				case fatal <- e:
				default: // the first one is enough
				}
			}
		}
	}
}
