package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// recordWriter returns what appends one record as format (of consume -f) says.
func recordWriter(format string) (func([]byte, *kgo.Record) ([]byte, error), error) {
	if format == "json" {
		return appendJSON, nil
	}
	if format == "" {
		return nil, errors.New("the format is empty")
	}
	f, err := kgo.NewRecordFormatter(format)
	if err != nil {
		return nil, err
	}
	return func(b []byte, r *kgo.Record) ([]byte, error) { return f.AppendRecord(b, r), nil }, nil
}

// recordJSON is one record under -f json. Of Key and KeyBase64 exactly one is there, of the values likewise; null is a key or
// value that the record does not have (a record with a key and without a value is a tombstone).
type recordJSON struct {
	Topic       string           `json:"topic"`
	Partition   int32            `json:"partition"`
	Offset      int64            `json:"offset"`
	Timestamp   int64            `json:"timestamp"` // ms since the epoch
	Key         *json.RawMessage `json:"key,omitempty"`
	KeyBase64   *string          `json:"key_base64,omitempty"`
	Value       *json.RawMessage `json:"value,omitempty"`
	ValueBase64 *string          `json:"value_base64,omitempty"`
	Headers     []headerJSON     `json:"headers,omitempty"`
}

type headerJSON struct {
	Key         string           `json:"key"`
	Value       *json.RawMessage `json:"value,omitempty"`
	ValueBase64 *string          `json:"value_base64,omitempty"`
}

func appendJSON(b []byte, r *kgo.Record) ([]byte, error) {
	j := recordJSON{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli()}
	j.Key, j.KeyBase64 = textOrBase64(r.Key)
	j.Value, j.ValueBase64 = textOrBase64(r.Value)
	for _, h := range r.Headers {
		hj := headerJSON{Key: h.Key}
		hj.Value, hj.ValueBase64 = textOrBase64(h.Value)
		j.Headers = append(j.Headers, hj)
	}
	out := bytes.NewBuffer(b)
	if err := writeJSON(out, j, ""); err != nil {
		return b, err
	}
	return out.Bytes(), nil
}

var jsonNull = json.RawMessage("null")

func textOrBase64(b []byte) (*json.RawMessage, *string) {
	switch {
	case b == nil:
		return &jsonNull, nil
	case !utf8.Valid(b):
		s := base64.StdEncoding.EncodeToString(b)
		return nil, &s
	}
	var quoted bytes.Buffer
	if err := writeJSON(&quoted, string(b), ""); err != nil { // a string always encodes
		return &jsonNull, nil
	}
	raw := json.RawMessage(bytes.TrimSpace(quoted.Bytes()))
	return &raw, nil
}

// newRecordReader reads records as format (of produce -f) says. Input that lacks the newline at its very end gets it, where the
// format ends with one.
func newRecordReader(in io.Reader, format string) (*kgo.RecordReader, error) {
	if strings.HasSuffix(format, `\n`) || strings.HasSuffix(format, "\n") {
		in = &newlineAtEnd{in: in, last: '\n'}
	}
	return kgo.NewRecordReader(in, format)
}

type newlineAtEnd struct {
	in   io.Reader
	last byte
}

func (n *newlineAtEnd) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	read, err := n.in.Read(p)
	if read > 0 {
		n.last = p[read-1]
	}
	if err == io.EOF && read == 0 && n.last != '\n' {
		p[0], n.last = '\n', '\n'
		return 1, nil
	}
	if err == io.EOF && read > 0 {
		err = nil // it comes again, and then there is room for the newline
	}
	return read, err
}
