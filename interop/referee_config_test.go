package interop

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// configsInWords is each described key with where its value comes from and what else is set for it.
func configsInWords(d *kmsg.DescribeConfigsResponse) []string {
	var out []string
	for _, rs := range d.Resources {
		for _, c := range rs.Configs {
			said := fmt.Sprintf("%s=%s %s", c.Name, textOf(c.Value), c.Source)
			if c.ReadOnly {
				said += " read-only"
			}
			for _, s := range c.ConfigSynonyms {
				said += fmt.Sprintf(" [%s=%s %s]", s.Name, textOf(s.Value), s.Source)
			}
			out = append(out, said)
		}
	}
	slices.Sort(out)
	return out
}

func textOf(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

func describeKeys(kind kmsg.ConfigResourceType, name string, keys ...string) request {
	return edit(4, describe(kind, name), func(_ *peer, r *kmsg.DescribeConfigsRequest) {
		r.IncludeSynonyms, r.Resources[0].ConfigNames = true, keys
	})
}

// listCases append to and subtract from lists (KIP-339).
func listCases() []refereeCase {
	const set, unset, add, sub = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete,
		kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract
	steps := []step{send(create(func(_ *kmsg.CreateTopicsRequest, rt *kmsg.CreateTopicsRequestTopic) { rt.Topic = "lists" }))}
	for _, c := range []struct {
		op    kmsg.IncrementalAlterConfigOp
		value string
		then  string // the value that it has then
	}{
		{add, "delete", "delete DYN"}, {unset, "", "delete DEFAULT"}, {sub, "nonsense", "delete DYN"}, {add, "nonsense", ""},
		{add, "delete,delete", ""}, {add, "", ""}, {sub, "", ""}, {sub, "delete", "= DYN"}, {sub, "delete", ""}, {sub, "", ""}, {add, "", ""},
		{add, "delete", "delete DYN"}, {set, "", "= DYN"}, {set, " delete ", "delete DYN"}, {set, "delete,delete", ""},
		{set, "DELETE", ""}, {set, "none", ""},
		{set, "delete", ""}, // Kafka keeps delete,delete as it is, and subtracts one of them
		{add, "compact", "delete,compact DYN"}, {sub, "delete", "=compact DYN"},
		{set, " compact , delete", "compact,delete DYN"}, {unset, "", "delete DEFAULT"},
	} {
		steps = append(steps, send(alter("lists", "cleanup.policy", c.value, c.op)),
			step{req: describeKeys(kmsg.ConfigResourceTypeTopic, "lists", "cleanup.policy"), until: c.then})
	}
	for _, key := range []string{"segment.bytes", "compression.type", "no.such.key"} {
		steps = append(steps, send(alter("lists", key, "1", add)), send(alter("lists", key, "1", sub)))
	}
	return []refereeCase{{"lists of a topic", steps}}
}

// change is one of a broker's keys that is altered, and what its topics have then.
type change struct {
	broker, key, value string // broker "" is the default of all; value "unset" removes it
	then               string // how the key's description begins once the change has arrived; "": it is refused
}

// topicDefaultCases set what topics have that do not set theirs, for a broker and for all, and describe topic and broker after
// each change. min.insync.replicas is left out, which Kafka treats apart where it keeps eligible leader replicas, and so is
// log.retention.ms as nothing but hours set it: Kafka calls what comes of them a default without a synonym.
func topicDefaultCases() []refereeCase {
	var cases []refereeCase
	for _, c := range []struct {
		topic   string
		brokers []string
		changes []change
	}{
		{"max.message.bytes", []string{"message.max.bytes"}, []change{
			{"", "message.max.bytes", "2000000", "2000000 DYNAMIC_DEFAULT"}, {"1", "message.max.bytes", "3000000", "3000000 DYNAMIC_BROKER"},
			{"1", "message.max.bytes", "-1", ""}, {"1", "message.max.bytes", "x", ""}, {"1", "message.max.bytes", "1MiB", ""},
			{"1", "message.max.bytes", "unset", "2000000 DYNAMIC_DEFAULT"},
		}},
		{"retention.ms", []string{"log.retention.ms"}, []change{
			{"", "log.retention.hours", "5", ""}, {"1", "log.retention.minutes", "5", ""}, {"1", "log.retention.minutes", "unset", ""},
			{"", "log.retention.ms", "7000000", "7000000 DYNAMIC_DEFAULT"}, {"1", "log.retention.ms", "-1", "-1 DYNAMIC_BROKER"},
			{"1", "log.retention.ms", "0", ""},
		}},
		{"segment.ms", []string{"log.roll.ms"}, []change{
			{"1", "log.roll.hours", "5", ""}, {"1", "log.roll.ms", "7000000", "7000000 DYNAMIC_BROKER"}, {"1", "log.roll.ms", "0", ""},
		}},
		{"cleanup.policy", []string{"log.cleanup.policy"}, []change{
			{"", "log.cleanup.policy", "-delete", " DYNAMIC_DEFAULT"}, {"1", "log.cleanup.policy", "+delete", "delete DYNAMIC_BROKER"},
			{"1", "log.cleanup.policy", "+nonsense", ""}, {"1", "log.cleanup.policy", "+", ""}, {"1", "log.retention.ms", "+1", ""},
		}},
		{"compression.type", []string{"compression.type", "compression.zstd.level"}, []change{
			{"1", "compression.type", "zstd", "zstd DYNAMIC_BROKER"}, {"1", "compression.type", "rar", ""},
			{"1", "compression.zstd.level", "7", "7 DYNAMIC_BROKER"}, {"1", "compression.gzip.level", "0", ""},
		}},
		{"message.timestamp.type", []string{"log.message.timestamp.type"}, []change{
			{"", "log.message.timestamp.type", "LogAppendTime", "LogAppendTime DYN"}, {"", "log.message.timestamp.type", "x", ""},
			{"1", "log.message.timestamp.before.max.ms", "-1", ""}, {"1", "log.message.timestamp.after.max.ms", "1000", ""},
		}},
		{"delete.retention.ms", []string{"log.cleaner.delete.retention.ms"}, []change{
			{"", "log.cleaner.delete.retention.ms", "7000", "7000 DYN"}, {"", "log.cleaner.delete.retention.ms", "-1", ""},
			{"", "log.cleaner.min.compaction.lag.ms", "-1", ""}, {"", "log.cleaner.max.compaction.lag.ms", "0", ""},
			{"", "log.cleaner.min.cleanable.ratio", "2", ""}, {"", "log.flush.interval.messages", "0", ""},
			{"", "unclean.leader.election.enable", "maybe", ""}, {"1", "log.segment.bytes", "100", ""}, {"", "log.segment.bytes", "1048575", ""},
		}},
	} {
		cases = append(cases, topicDefaultCase(c.topic, c.brokers, c.changes))
	}
	return cases
}

// topicDefaultCase makes the changes and takes them back.
func topicDefaultCase(key string, brokerKeys []string, changes []change) refereeCase {
	topic := "defaults-" + strings.ReplaceAll(key, ".", "-")
	steps := []step{send(create(func(_ *kmsg.CreateTopicsRequest, rt *kmsg.CreateTopicsRequestTopic) { rt.Topic = topic }))}
	undo := map[[2]string]bool{}
	for _, c := range changes {
		op, value := kmsg.IncrementalAlterConfigOpSet, &c.value
		switch {
		case c.value == "unset":
			op, value = kmsg.IncrementalAlterConfigOpDelete, nil
		case strings.HasPrefix(c.value, "+"):
			op, value = kmsg.IncrementalAlterConfigOpAppend, kmsg.StringPtr(c.value[1:])
		case strings.HasPrefix(c.value, "-d"):
			op, value = kmsg.IncrementalAlterConfigOpSubtract, kmsg.StringPtr(c.value[1:])
		}
		undo[[2]string{c.broker, c.key}] = true
		steps = append(steps, send(alterBroker(c.broker, c.key, op, value, false)))
		if c.then != "" {
			steps = append(steps,
				step{req: describeKeys(kmsg.ConfigResourceTypeBroker, "1", brokerKeys...), until: " " + c.key + "=" + c.then},
				send(describeKeys(kmsg.ConfigResourceTypeTopic, topic, key)))
		}
	}
	for of := range undo {
		steps = append(steps, send(alterBroker(of[0], of[1], kmsg.IncrementalAlterConfigOpDelete, nil, false)))
	}
	return refereeCase{"topics' default: " + key, steps}
}
