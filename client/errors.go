package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	// ErrClosed says that the client was closed.
	ErrClosed = errors.New("the client is closed")
	// ErrUnknownOutcome says that waiting ended before the broker answered: the record may be stored, now or later.
	ErrUnknownOutcome = errors.New("no answer yet: the record may still be stored")
)

// Error is why something failed, and what to do about it. A broker's error code is found with errors.Is and franz-go's kerr:
//
//	errors.Is(err, kerr.UnknownTopicOrPartition)
type Error struct {
	Op     string // what was tried, and on what: `publish to topic "orders"`
	Err    error  // the cause
	Remedy string // what to do; empty where nobody can tell
	text   string // the cause in words; empty: as Err says it
}

// Error reads "what was tried: the cause; what to do".
func (e *Error) Error() string {
	text := e.text
	if text == "" {
		text = e.Err.Error()
	}
	if e.Remedy == "" {
		return e.Op + ": " + text
	}
	return e.Op + ": " + text + "; " + e.Remedy
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// advice is what to do about an error.
type advice struct {
	is           error
	text, remedy string
}

var advices = []advice{
	{kerr.UnknownTopicOrPartition, "there is no such topic or partition",
		"create it (`quire topic create`), or set auto.create.topics.enable on the broker"},
	{kerr.UnknownTopicID, "the topic was deleted", "if it was made again, start again with a new Client: it is another topic"},
	{kerr.InvalidTopicException, "that is no name for a topic", "use 1 to 249 letters, digits, dots, underscores and dashes"},
	{kerr.MessageTooLarge, "the record is too large",
		"make it smaller, or raise both Options.MaxBatchBytes and the topic's max.message.bytes"},
	{kerr.RecordListTooLarge, "the batch is too large", "lower Options.MaxBatchBytes below the topic's segment.bytes"},
	{kerr.InvalidTimestamp, "the timestamp is out of the topic's bounds",
		"check the clock, or change the topic's message.timestamp.before.max.ms or message.timestamp.after.max.ms"},
	{kerr.InvalidRecord, "the broker refused the record", "a compacted topic wants a key; see also the topic's message.timestamp bounds"},
	{kerr.OffsetOutOfRange, "the offset is not in the log", "its records were deleted by retention or a trim: replay from the start or a later offset"},
	{kerr.NotEnoughReplicas, "too few replicas are in sync", "bring the missing brokers back, or lower the topic's min.insync.replicas"},
	{kerr.NotEnoughReplicasAfterAppend, "too few replicas are in sync", "bring the missing brokers back, or lower the topic's min.insync.replicas"},
	{kerr.KafkaStorageError, "the broker's disk is full or has failed", "free space on the broker, and read its log"},
	{kerr.TopicAuthorizationFailed, "not allowed", "have an access rule added for this user and topic"},
	{kerr.ClusterAuthorizationFailed, "not allowed", "have an access rule added for this user and the cluster"},
	{kerr.SaslAuthenticationFailed, "the broker does not accept the credentials", "check user and password"},
	{kerr.PolicyViolation, "a policy of the broker forbids it", "ask whoever runs it"},
}

// explain wraps an error of kgo or kadm. op and its arguments say what was tried, and on what.
func (c *Client) explain(err error, op string, args ...any) error {
	e := &Error{Op: fmt.Sprintf(op, args...), Err: err}
	for _, a := range advices {
		if errors.Is(err, a.is) {
			e.text, e.Remedy = a.text, a.remedy
			if ke, ok := errors.AsType[*kerr.Error](err); ok {
				e.text += " (" + ke.Message + ")"
			}
			return e
		}
	}
	switch {
	case errors.Is(err, ErrClosed), errors.Is(err, kgo.ErrClientClosed):
		e.Err, e.Remedy = ErrClosed, "make a new one with client.New"
	case errors.Is(err, context.Canceled):
	case IsDamaged(err):
		e.Remedy = "the broker's file is damaged there: stop the broker and run `quire storage verify` on its directory"
	case unanswered(err) && c.dials.refused() != nil:
		refused := c.dials.refused()
		e.Err = errors.Join(refused, err)
		e.text = fmt.Sprintf("no broker at %s: %s", strings.Join(c.options.Brokers, ", "), dialCause(refused))
		e.Remedy = "start one (`quire dev`), or correct Options.Brokers"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, kerr.RequestTimedOut):
		e.text = "no answer in time"
		e.Remedy = fmt.Sprintf("check the broker's load and log, or wait longer: the context, Options.Timeout (%s)", c.options.Timeout)
	}
	if errors.Is(err, ErrUnknownOutcome) {
		e.Err = errors.Join(e.Err, ErrUnknownOutcome)
		e.Remedy = strings.TrimPrefix(e.Remedy+"; publish again only if twice does no harm", "; ")
	}
	return e
}

// IsDamaged says whether records were not what their checksum says when they were read. Where that is so again for the same offset, the
// broker's file is damaged. kgo has only words for it.
func IsDamaged(err error) bool {
	return err != nil && strings.Contains(err.Error(), "does not match calculated crc")
}

// unanswered says whether err may come of there being no broker.
func unanswered(err error) bool {
	_, network := errors.AsType[net.Error](err)
	_, closed := errors.AsType[*kgo.ErrFirstReadEOF](err)
	return network || closed || errors.Is(err, io.EOF) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, kerr.RequestTimedOut)
}

// dialCause is why a connection failed, without the address, which is said beside it.
func dialCause(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if _, ok := errors.AsType[*kgo.ErrFirstReadEOF](err); ok {
		return "the connection was closed: not a Kafka listener, or one that wants TLS"
	}
	return strings.TrimPrefix(err.Error(), "connect: ")
}

// dials remembers whether the last connection could be made: kgo retries without a word, and what fails in the end is a time-out.
type dials struct{ failed atomic.Pointer[error] }

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (d *dials) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	switch {
	case err == nil:
		d.failed.Store(nil)
	case !errors.Is(err, context.Canceled): // by the client itself, which was closed
		d.failed.Store(&err)
	}
}

func (d *dials) refused() error {
	if err := d.failed.Load(); err != nil {
		return *err
	}
	return nil
}
