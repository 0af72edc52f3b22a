package broker

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// header is a request header, versions 1 and 2.
type header struct {
	key         int16
	version     int16
	correlation int32
}

var errTruncated = errors.New("request is shorter than its fields")

// parseHeader reads what every request begins with. The frame has minFrameBytes at least.
func parseHeader(frame []byte) header {
	return header{
		key:         int16(binary.BigEndian.Uint16(frame)),
		version:     int16(binary.BigEndian.Uint16(frame[2:])),
		correlation: int32(binary.BigEndian.Uint32(frame[4:])),
	}
}

// cutClientID takes the nullable client id off; it is not compact at any header version.
func cutClientID(b []byte) (id, rest []byte, err error) {
	if len(b) < 2 {
		return nil, nil, errTruncated
	}
	n := int(int16(binary.BigEndian.Uint16(b)))
	b = b[2:]
	if n < 0 {
		return nil, b, nil
	}
	if len(b) < n {
		return nil, nil, errTruncated
	}
	return b[:n], b[n:], nil
}

// eachTag calls do for every tag of a tag section (KIP-482) and returns what follows it.
func eachTag(b []byte, do func(tag uint32, content []byte) error) (rest []byte, err error) {
	num, b, err := cutUvarint(b)
	if err != nil {
		return nil, err
	}
	for ; num > 0; num-- {
		var tag, size uint32
		if tag, b, err = cutUvarint(b); err != nil {
			return nil, err
		}
		if size, b, err = cutUvarint(b); err != nil {
			return nil, err
		}
		if uint64(size) > uint64(len(b)) {
			return nil, errTruncated
		}
		if err := do(tag, b[:size]); err != nil {
			return nil, err
		}
		b = b[size:]
	}
	return b, nil
}

// skipTags steps over the tag section of a request header: nobody here knows any tag.
func skipTags(b []byte) (rest []byte, err error) {
	return eachTag(b, func(uint32, []byte) error { return nil })
}

func cutUvarint(b []byte) (v uint32, rest []byte, err error) {
	x, n := binary.Uvarint(b)
	if n <= 0 || x > 1<<32-1 {
		return 0, nil, errTruncated
	}
	return uint32(x), b[n:], nil
}

// decode makes a request out of what follows the first minFrameBytes of a frame. msg is at the request's version.
func decode(msg kmsg.Request, rest []byte) (clientID []byte, err error) {
	clientID, body, err := cutClientID(rest)
	if err != nil {
		return nil, fmt.Errorf("client id: %w", err)
	}
	if msg.IsFlexible() {
		if body, err = skipTags(body); err != nil {
			return nil, fmt.Errorf("header tags: %w", err)
		}
	}
	if err := checkBody(msg, body); err != nil {
		return nil, err
	}
	if msg.Key() == kmsg.Produce.Int16() {
		return clientID, msg.(kmsg.UnsafeReadFrom).UnsafeReadFrom(body)
	}
	return clientID, msg.ReadFrom(body)
}
