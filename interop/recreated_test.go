package interop

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	ibm "github.com/IBM/sarama"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

// follower is a client that can follow a topic of one partition from its start. What it reads and what goes wrong are sent to
// said, until ctx ends; then follow returns.
type follower interface {
	follow(ctx context.Context, broker, topic string, said chan<- string) error
}

// TestRecreatedUnderConsumer deletes a topic under a running consumer and makes it again. Clients differ in what they make of it,
// as against Apache Kafka (QUIRE_INTEROP_BROKER=kafka): some go on at the offset they had, some start over, some tell an error.
// All that counts is that none of them keeps the new topic from being used by others, and that each ends when told.
func TestRecreatedUnderConsumer(t *testing.T) {
	broker := brokerUnderTest(t, "--auto-create-topics-enable=false")
	for _, c := range clients(t) {
		f, ok := c.(follower)
		if !ok || c.name() == "java" { // kafka-console-consumer is the same client
			continue
		}
		t.Run(c.name(), func(t *testing.T) {
			t.Parallel()
			topic := "followed-" + c.name()
			write := func(from, to int) {
				t.Helper()
				var rs []record
				for i := from; i < to; i++ {
					rs = append(rs, record{value: fmt.Appendf(nil, "value-%d", i), timestamp: anyTime})
				}
				franz{}.produce(t, broker, topic, "none", false, rs)
			}
			createTopic(t, broker, topic, 1)
			write(0, 3)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			said, ended := make(chan string, 10_000), make(chan error, 1)
			go func() { ended <- f.follow(ctx, broker, topic, said) }()
			await(t, said, "value-2")
			deleteTopic(t, broker, topic)
			createTopic(t, broker, topic, 1)
			write(3, 9) // some lie behind where the consumer was
			var after []string
			for settled := time.After(5 * time.Second); settled != nil; {
				select {
				case s := <-said:
					after = append(after, s)
				case <-settled:
					settled = nil
				}
			}
			t.Logf("after the topic was made again: %.300q", after)
			if got := (franz{}).consume(t, broker, topic); len(got) != 6 {
				t.Errorf("another client reads %d records of the new topic, want 6", len(got))
			}
			for _, s := range after {
				if strings.HasPrefix(s, "value-") && s < "value-3" {
					t.Errorf("a record of the topic that is gone came again: %s", s)
				}
			}
			cancel()
			select {
			case err := <-ended:
				t.Logf("it ended with %v", err)
			case <-time.After(20 * time.Second):
				t.Error("it does not end")
			}
		})
	}
}

func await(t *testing.T, said <-chan string, want string) {
	t.Helper()
	for late := time.After(20 * time.Second); ; {
		select {
		case s := <-said:
			if s == want {
				return
			}
		case <-late:
			t.Fatalf("%q did not come", want)
		}
	}
}

func (franz) follow(ctx context.Context, broker, topic string, said chan<- string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(topic), kgo.FetchMaxWait(500*time.Millisecond),
		kgo.MetadataMinAge(100*time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer cl.Close()
	for ctx.Err() == nil {
		fetches := cl.PollFetches(ctx)
		fetches.EachError(func(_ string, _ int32, err error) { said <- err.Error() })
		fetches.EachRecord(func(r *kgo.Record) { said <- string(r.Value) })
	}
	return nil
}

func (s sarama) follow(ctx context.Context, broker, topic string, said chan<- string) error {
	cfg := s.config(order{})
	cfg.Consumer.Return.Errors = true
	consumer, err := ibm.NewConsumer([]string{broker}, cfg)
	if err != nil {
		return err
	}
	defer consumer.Close()
	pc, err := consumer.ConsumePartition(topic, 0, ibm.OffsetOldest)
	if err != nil {
		return err
	}
	for {
		select {
		case m, open := <-pc.Messages():
			if !open {
				<-ctx.Done()
				return nil
			}
			said <- string(m.Value)
		case err := <-pc.Errors():
			if err != nil {
				said <- err.Error()
			}
		case <-ctx.Done():
			return pc.Close()
		}
	}
}

func (segmentio) follow(ctx context.Context, broker, topic string, said chan<- string) error {
	r := kafkago.NewReader(kafkago.ReaderConfig{Brokers: strings.Fields(broker), Topic: topic, Partition: 0,
		MinBytes: 1, MaxBytes: 4 << 20, MaxWait: 500 * time.Millisecond})
	for ctx.Err() == nil {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			said <- err.Error()
			break
		}
		said <- string(m.Value)
	}
	<-ctx.Done()
	return r.Close()
}

func (kcat) follow(ctx context.Context, broker, topic string, said chan<- string) error {
	return followProgram(ctx, []string{"kcat", "-q", "-u", "-C", "-b", broker, "-t", topic, "-o", "beginning"}, said)
}

// followProgram runs a program that prints a value a line.
func followProgram(ctx context.Context, argv []string, said chan<- string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out := &lineSender{said: said}
	cmd.Stdout, cmd.Stderr = out, out
	return cmd.Run()
}

// lineSender sends each line that is written to it.
type lineSender struct {
	said chan<- string
	rest string
}

func (l *lineSender) Write(p []byte) (int, error) {
	lines := strings.Split(l.rest+string(p), "\n")
	for _, line := range lines[:len(lines)-1] {
		l.said <- line
	}
	l.rest = lines[len(lines)-1]
	return len(p), nil
}
