package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	defaultBroker  = "127.0.0.1:9092"
	connectTimeout = 5 * time.Second
	adminTimeout   = 30 * time.Second // of one administrative command
)

// seeds are the brokers to dial: flag, environment, default.
func (c *cli) seeds() []string {
	if len(c.brokers) > 0 {
		return c.brokers
	}
	if e := c.getenv("QUIRE_BROKERS"); e != "" {
		return strings.Split(e, ",")
	}
	return []string{defaultBroker}
}

// command is how to run quire with args against the same brokers, for hints.
func (c *cli) command(args string) string {
	if len(c.brokers) > 0 {
		return fmt.Sprintf("%s %s -b %s", shellQuote(c.self), args, strings.Join(c.brokers, ","))
	}
	return shellQuote(c.self) + " " + args
}

// connect dials a broker, so that an address where none is fails now and says so, rather than in the retries of the first request.
func (c *cli) connect(ctx context.Context, opts ...kgo.Opt) (*kgo.Client, error) {
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(c.seeds()...),
		kgo.ClientID("quire"),
		kgo.DialTimeout(connectTimeout),
		kgo.RetryTimeout(10 * time.Second),
		kgo.MetadataMinAge(100 * time.Millisecond), // a topic made on first use is there within milliseconds
	}, opts...)...)
	if err != nil {
		return nil, usageError("", "%s: %w", strings.Join(c.seeds(), ","), err)
	}
	pingCtx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := cl.Ping(pingCtx); err != nil {
		cl.Close()
		if ctx.Err() != nil {
			return nil, errInterrupted
		}
		return nil, c.unreachable(err)
	}
	return cl, nil
}

func (c *cli) unreachable(err error) error {
	cause := causeOf(err)
	if errors.Is(err, context.DeadlineExceeded) {
		cause = fmt.Sprintf("no answer within %s", connectTimeout)
	}
	if strings.Contains(err.Error(), "invalid large response size") { // kgo's text; there is no type
		cause = "what listens there does not speak Kafka"
		if strings.Contains(err.Error(), "HTTP") {
			cause += " but HTTP"
		}
	}
	_, notKafka := errors.AsType[*kgo.ErrFirstReadEOF](err)
	if notKafka || errors.Is(err, io.EOF) {
		cause = "the connection was closed: not a Kafka listener, or one that wants TLS"
	}
	return &failure{
		err:  fmt.Errorf("no broker at %s: %s", strings.Join(c.seeds(), ","), cause),
		hint: fmt.Sprintf("start one with `%s dev`, or name another address with -b", shellQuote(c.self)),
		code: exitUnreachable,
	}
}

// causeOf is why a connection failed, without the address, which is said beside it.
func causeOf(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	return strings.TrimPrefix(err.Error(), "connect: ")
}

// admin runs fn with an administrative client, bounded in time.
func (c *cli) admin(ctx context.Context, fn func(context.Context, *kadm.Client) error) error {
	return c.request(ctx, func(ctx context.Context, cl *kgo.Client) error { return fn(ctx, kadm.NewClient(cl)) })
}

// request is admin for what kadm has no calls for.
func (c *cli) request(ctx context.Context, fn func(context.Context, *kgo.Client) error) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	cl, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	return fn(ctx, cl)
}

// topicDetails loads topics that must exist.
func (c *cli) topicDetails(ctx context.Context, adm *kadm.Client, names ...string) (kadm.TopicDetails, error) {
	md, err := adm.Metadata(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("load topics: %w", err)
	}
	for _, name := range names {
		t, ok := md.Topics[name]
		if !ok || errors.Is(t.Err, kerr.UnknownTopicOrPartition) {
			return nil, c.noTopic(ctx, adm, name)
		}
		if t.Err != nil {
			return nil, c.topicError(name, t.Err, "")
		}
	}
	return md.Topics, nil
}

// noTopic says that there is no such topic, and which one may have been meant.
func (c *cli) noTopic(ctx context.Context, adm *kadm.Client, name string) error {
	err := c.topicError(name, kerr.UnknownTopicOrPartition, "")
	topics, listErr := adm.ListTopics(ctx)
	if near := nearest(name, topics.Names()); listErr == nil && near != "" {
		return withHint(err, "did you mean %s? all topics: %s", near, c.command("topic list"))
	}
	return err
}

// unknownKey is in Kafka's own text, which our broker keeps.
var unknownKey = regexp.MustCompile(`[Uu]nknown topic config name: (\S+)`)

// topicError names the topic and adds what to run next.
func (c *cli) topicError(name string, err error, message string) error {
	hint := ""
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		hint, message = c.command("topic list"), "there is no such topic"
	case errors.Is(err, kerr.TopicAlreadyExists):
		hint, message = c.command("topic describe "+name), "it exists already"
	case errors.Is(err, kerr.InvalidTopicException):
		message = "a topic name is 1 to 249 letters, digits, dots, underscores and dashes"
		hint = c.command("topic create --help")
	case errors.Is(err, kerr.UnknownTopicID):
		hint, message = c.command("topic list"), "it was deleted meanwhile"
	case errors.Is(err, kerr.MessageTooLarge):
		hint = c.command("topic config " + name + " -c max.message.bytes=16MiB")
		message = "a record is larger than its max.message.bytes"
	case errors.Is(err, kerr.InvalidConfig):
		hint = c.command("topic create --help")
		if unknown := unknownKey.FindStringSubmatch(message); unknown != nil {
			if near := nearest(unknown[1], topicKeys()); near != "" {
				hint = fmt.Sprintf("did you mean %s? all keys: %s", near, hint)
			}
		}
	case errors.Is(err, kerr.InvalidPartitions):
		hint = c.command("topic create " + name + " -p 6")
	case errors.Is(err, kerr.InvalidReplicationFactor):
		hint = c.command("cluster info")
	}
	return &failure{err: fmt.Errorf("topic %s: %w", name, brokerError(err, message)), hint: hint}
}

// completeTopics completes the names of topics in the shell, up to most arguments (most < 0: any number).
func (c *cli) completeTopics(most int) cobra.CompletionFunc {
	return c.completeNames(most, func(ctx context.Context, adm *kadm.Client) ([]string, error) {
		topics, err := adm.ListTopics(ctx)
		return topics.Names(), err
	})
}

// completeNames completes what list lists. It gives up quickly: somebody waits at a prompt.
func (c *cli) completeNames(most int, list func(context.Context, *kadm.Client) ([]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if most >= 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
		defer cancel()
		cl, err := c.connect(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer cl.Close()
		names, err := list(ctx, kadm.NewClient(cl))
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names = slices.DeleteFunc(names, func(name string) bool {
			return !strings.HasPrefix(name, prefix) || slices.Contains(args, name)
		})
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// shellQuote leaves plain words as they are.
func shellQuote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:@%+=,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// quoted is words as a shell takes them.
func quoted(words []string) string {
	parts := make([]string, len(words))
	for i, w := range words {
		parts[i] = shellQuote(w)
	}
	return strings.Join(parts, " ")
}
