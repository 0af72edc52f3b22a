package step

import "github.com/twmb/franz-go/pkg/kmsg"

// Fail answers c with err, which is or wraps a *kerr.Error (UNKNOWN_SERVER_ERROR otherwise), in the form of its request's response.
func (s *Step) Fail(c *Call, err error) { s.Reply(c, Failure(c.Request, err)) }

// Failure is the response to req that says err: at the top, or at every item where the response has none there.
func Failure(req kmsg.Request, err error) kmsg.Response { panic("unimplemented") }

// Code is the Kafka error code of err: 0 for nil, UNKNOWN_SERVER_ERROR for what is no *kerr.Error.
func Code(err error) int16 { panic("unimplemented") }
