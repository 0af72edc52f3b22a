package broker

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// shapes says what each request consists of on the wire, so that a frame is checked before it is decoded. The decoder
// allocates what an array announces and counts announced tags down one by one, whether they are there or not: eleven bytes keep
// it busy for a minute. A test holds the shapes against the encoder, at every version of the dispatch table.
//
// A field is a number of bytes, s (string), b (bytes), []x (array of a primitive), [ fields ] (array of structs), ?( fields )
// (struct that may be null) or #n( fields ) (struct in tag n); @lo-hi or @lo+ are the versions that have it. Every struct ends
// with a tag section in flexible versions.
var shapes = map[kmsg.Key]shape{
	kmsg.Produce: parseShape("s@3+ 2 4 [ s@0-12 16@13+ [ 4 b ] ]"),
	kmsg.Fetch: parseShape("4@0-14 4 4 4@3+ 1@4+ 4@7+ 4@7+ [ s@0-12 16@13+ [ 4 4@9+ 8 4@12+ 8@5+ 4 ] ] " +
		"[ s@7-12 16@13+ []4 ]@7+ s@11+ #1( 4 8 )@15+"),
	kmsg.ListOffsets:                parseShape("4 1@2+ [ s [ 4 4@4+ 8 4@0-0 ] ] 4@10+"),
	kmsg.Metadata:                   parseShape("[ 16@10+ s ] 1@4+ 1@8-10 1@8+"),
	kmsg.ApiVersions:                parseShape("s@3+ s@3+ s@5+ 4@5+"),
	kmsg.CreateTopics:               parseShape("[ s 4 2 [ 4 []4 ] [ s s ] ] 4 1@1+"),
	kmsg.DeleteTopics:               parseShape("[]s@0-5 [ s 16 ]@6+ 4"),
	kmsg.DeleteRecords:              parseShape("[ s [ 4 8 ] ] 4"),
	kmsg.InitProducerID:             parseShape("s 4 8@3+ 2@3+"),
	kmsg.OffsetForLeaderEpoch:       parseShape("4@3+ [ s [ 4 4@2+ 4 ] ]"),
	kmsg.DescribeConfigs:            parseShape("[ 1 s []s ] 1@1+ 1@3+"),
	kmsg.AlterConfigs:               parseShape("[ 1 s [ s s ] ] 1"),
	kmsg.CreatePartitions:           parseShape("[ s 4 [ []4 ] ] 4 1"),
	kmsg.IncrementalAlterConfigs:    parseShape("[ 1 s [ s 1 s ] ] 1"),
	kmsg.DescribeCluster:            parseShape("1 1@1+ 1@2+"),
	kmsg.DescribeTopicPartitions:    parseShape("[ s ] 4 ?( s 4 )"),
	kmsg.SASLHandshake:              parseShape("s"),
	kmsg.AlterReplicaLogDirs:        parseShape("[ s [ s []4 ] ]"),
	kmsg.DescribeLogDirs:            parseShape("[ s []4 ]"),
	kmsg.SASLAuthenticate:           parseShape("b"),
	kmsg.ElectLeaders:               parseShape("1@1+ [ s []4 ] 4"),
	kmsg.AlterPartitionAssignments:  parseShape("4 1@1+ [ s [ 4 []4 ] ]"),
	kmsg.ListPartitionReassignments: parseShape("4 [ s []4 ]"),
	kmsg.DescribeQuorum:             parseShape("[ s [ 4 ] ]"),
	kmsg.UpdateFeatures:             parseShape("4 [ s 2 1@0-0 1@1+ ] 1@1+"),
	kmsg.DescribeProducers:          parseShape("[ s []4 ]"),
	kmsg.ListConfigResources:        parseShape("[]1@1+"),
	kmsg.UnregisterBroker:           parseShape("4"),

	kmsg.OffsetCommit:           parseShape("s 4@1+ s@1+ s@7+ 8@2-4 [ s@0-9 16@10+ [ 4 8 8@1-1 4@6+ s ] ]"),
	kmsg.OffsetFetch:            parseShape("s@0-7 [ s []4 ]@0-7 [ s s@9+ 4@9+ [ s@8-9 16@10+ []4 ] ]@8+ 1@7+"),
	kmsg.FindCoordinator:        parseShape("s@0-3 1@1+ []s@4+"),
	kmsg.JoinGroup:              parseShape("s 4 4@1+ s s@5+ s [ s b ] s@8+"),
	kmsg.Heartbeat:              parseShape("s 4 s s@3+"),
	kmsg.LeaveGroup:             parseShape("s s@0-2 [ s s s@5+ ]@3+"),
	kmsg.SyncGroup:              parseShape("s 4 s s@3+ s@5+ s@5+ [ s b ]"),
	kmsg.DescribeGroups:         parseShape("[]s 1@3+"),
	kmsg.ListGroups:             parseShape("[]s@4+ []s@5+"),
	kmsg.DeleteGroups:           parseShape("[]s"),
	kmsg.OffsetDelete:           parseShape("s [ s [ 4 ] ]"),
	kmsg.ConsumerGroupHeartbeat: parseShape("s s 4 s s 4 []s s@1+ s [ 16 []4 ]"),
	kmsg.ConsumerGroupDescribe:  parseShape("[]s 1"),
}

// shape is the fields of a struct in wire order.
type shape []shapeField

type fieldKind uint8

const (
	fixedField fieldKind = iota
	stringField
	bytesField
	primitiveArray
	structArray
	nullableStruct
	taggedStruct
)

type shapeField struct {
	kind     fieldKind
	size     int // of fixedField, in bytes
	tag      uint32
	min, max int16
	sub      shape // of arrays (of a primitive: one field) and structs
}

// parseShape panics on a fault: the shapes are constants.
func parseShape(text string) shape {
	tokens := strings.Fields(text)
	s := parseFields(&tokens, "")
	return s
}

// parseFields reads fields up to a token that begins with end.
func parseFields(tokens *[]string, end string) shape {
	var s shape
	for len(*tokens) > 0 {
		token := (*tokens)[0]
		if end != "" && strings.HasPrefix(token, end) {
			return s
		}
		*tokens = (*tokens)[1:]
		s = append(s, parseField(token, tokens))
	}
	if end != "" {
		panic("shape: no " + end)
	}
	return s
}

func parseField(token string, tokens *[]string) shapeField {
	f := shapeField{}
	closing := ")"
	switch {
	case token == "[":
		f.kind, closing = structArray, "]"
	case token == "?(":
		f.kind = nullableStruct
	case token[0] == '#':
		f.kind, f.tag = taggedStruct, uint32(mustInt(strings.TrimSuffix(token[1:], "(")))
	default:
		return parsePrimitive(token)
	}
	f.sub = parseFields(tokens, closing)
	_, versions, _ := strings.Cut((*tokens)[0], "@")
	*tokens = (*tokens)[1:]
	f.setVersions(versions)
	return f
}

func parsePrimitive(token string) shapeField {
	name, versions, _ := strings.Cut(token, "@")
	f := shapeField{}
	f.setVersions(versions)
	element, isArray := strings.CutPrefix(name, "[]")
	switch {
	case isArray:
		f.kind, f.sub = primitiveArray, shape{parsePrimitive(element)}
	case name == "s":
		f.kind = stringField
	case name == "b":
		f.kind = bytesField
	default:
		f.kind, f.size = fixedField, mustInt(name)
	}
	return f
}

func (f *shapeField) setVersions(text string) {
	f.max = math.MaxInt16
	if text == "" {
		return
	}
	low, high, ranged := strings.Cut(text, "-")
	f.min = int16(mustInt(strings.TrimSuffix(low, "+")))
	if ranged {
		f.max = int16(mustInt(high))
	}
}

func mustInt(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(fmt.Sprintf("shape: %v", err))
	}
	return n
}
