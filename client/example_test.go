package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/quirelog/quire/broker"
	"github.com/quirelog/quire/broker/config"
	"github.com/quirelog/quire/client"
	"github.com/quirelog/quire/segment/flush"
	"github.com/twmb/franz-go/pkg/kerr"
)

// exampleBroker starts what an example talks to. (A test uses quiretest.Start; an example has no testing.T.)
func exampleBroker() (addr string, stop func()) {
	dir, err := os.MkdirTemp("", "quire-example-")
	if err != nil {
		log.Fatal(err)
	}
	cfg := config.Default()
	cfg.DataDir, cfg.KafkaAddr, cfg.RPCAddr, cfg.HTTPAddr = dir, "127.0.0.1:0", "127.0.0.1:0", ""
	cfg.NumPartitions, cfg.Durability = 6, flush.OS
	b, err := broker.Start(context.Background(), cfg, broker.Options{})
	if err != nil {
		log.Fatal(err)
	}
	return b.Addr(), func() {
		if err := errors.Join(b.Close(context.Background()), os.RemoveAll(dir)); err != nil {
			log.Fatal(err)
		}
	}
}

func ExampleClient_Publish() {
	addr, stop := exampleBroker()
	defer stop()
	c, err := client.New(client.Options{Brokers: []string{addr}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	r := &client.Record{Topic: "orders", Key: []byte("user_123"), Value: []byte("a coffee")}
	if err := c.Publish(context.Background(), r); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("partition %d, offset %d\n", r.Partition, r.Offset)
	// Output: partition 5, offset 0
}

func ExampleClient_PublishAsync() {
	addr, stop := exampleBroker()
	defer stop()
	c, err := client.New(client.Options{Brokers: []string{addr}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	ctx := context.Background()
	for _, drink := range []string{"a coffee", "a tea", "a water"} {
		r := &client.Record{Topic: "orders", Key: []byte("user_123"), Value: []byte(drink)}
		c.PublishAsync(ctx, r, func(r *client.Record, err error) {
			if err != nil {
				log.Print(err)
				return
			}
			fmt.Printf("%s: offset %d\n", r.Value, r.Offset)
		})
	}
	if err := c.Flush(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// a coffee: offset 0
	// a tea: offset 1
	// a water: offset 2
}

func ExampleClient_Replay() {
	addr, stop := exampleBroker()
	defer stop()
	c, err := client.New(client.Options{Brokers: []string{addr}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	ctx := context.Background()
	for i, user := range []string{"ann", "bob", "cid", "dan"} {
		r := &client.Record{Topic: "orders", Key: []byte(user), Timestamp: time.Now().Add(time.Duration(i-3) * 40 * time.Minute)}
		if err := c.Publish(ctx, r); err != nil {
			log.Fatal(err)
		}
	}
	// The last hour, in order of time over all partitions.
	for r, err := range c.Replay(ctx, "orders", client.ReplayOptions{From: client.FromAge(time.Hour), ByTime: true}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", r.Key)
	}
	// Output:
	// cid
	// dan
}

func ExampleError() {
	addr, stop := exampleBroker()
	defer stop()
	c, err := client.New(client.Options{Brokers: []string{addr}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	for _, err := range c.Replay(context.Background(), "odrers", client.ReplayOptions{}) {
		if failed, ok := errors.AsType[*client.Error](err); ok && errors.Is(err, kerr.UnknownTopicOrPartition) {
			fmt.Println(failed.Op)
			fmt.Println(failed.Remedy)
		}
	}
	// Output:
	// replay topic "odrers" from the start
	// create it (`quire topic create`), or set auto.create.topics.enable on the broker
}
