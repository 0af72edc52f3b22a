package main

import (
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/quirelog/quire/broker/topicconfig"
	"github.com/spf13/cobra"
)

// Topic configuration in human values: what a key means follows from its suffix, as in Kafka's own names.

type unit struct {
	name string
	size int64
}

var timeUnits = []unit{ // in milliseconds
	{"w", 7 * 24 * 3600e3}, {"d", 24 * 3600e3}, {"h", 3600e3}, {"m", 60e3}, {"s", 1e3}, {"ms", 1},
}

var byteUnits = []unit{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1},
}

var quantity = regexp.MustCompile(`^(\d+(?:\.\d+)?)([A-Za-z]+)`)

// unitsOf says which units the values of a configuration key take; nil: none.
func unitsOf(key string) []unit {
	switch {
	case strings.HasSuffix(key, ".ms"):
		return timeUnits
	case strings.HasSuffix(key, ".bytes"):
		return byteUnits
	}
	return nil
}

// parseConfigs turns KEY=VALUE pairs into Kafka's values: segment.ms=1d is 86400000, segment.bytes=64MiB is 67108864.
func parseConfigs(pairs []string) (map[string]*string, error) {
	configs := make(map[string]*string, len(pairs))
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, usageError("", "-c %q: want KEY=VALUE, as in -c segment.ms=1d", pair)
		}
		v, err := machineValue(key, value)
		if err != nil {
			return nil, usageError("", "-c %s: %w", pair, err)
		}
		configs[key] = &v
	}
	return configs, nil
}

func machineValue(key, value string) (string, error) {
	units := unitsOf(key)
	if units == nil {
		return value, nil
	}
	if _, err := strconv.ParseInt(value, 10, 64); err == nil {
		return value, nil
	}
	if value == "max" {
		return strconv.FormatInt(math.MaxInt64, 10), nil
	}
	total := new(big.Rat)
	for rest := value; rest != ""; {
		m := quantity.FindStringSubmatch(rest)
		if m == nil {
			return "", badQuantity(value, units)
		}
		size := sizeOf(units, m[2])
		n, ok := new(big.Rat).SetString(m[1])
		if size == 0 || !ok {
			return "", badQuantity(value, units)
		}
		total.Add(total, n.Mul(n, new(big.Rat).SetInt64(size)))
		rest = rest[len(m[0]):]
	}
	if value == "" || !total.IsInt() || !total.Num().IsInt64() {
		return "", badQuantity(value, units)
	}
	return total.Num().String(), nil
}

func sizeOf(units []unit, name string) int64 {
	for _, u := range units {
		if u.name == name {
			return u.size
		}
	}
	return 0
}

func badQuantity(value string, units []unit) error {
	if &units[0] == &timeUnits[0] {
		return fmt.Errorf("%q is not a duration in whole milliseconds (such as 90s, 12h, 1d, 2w, or -1)", value)
	}
	return fmt.Errorf("%q is not a size in whole bytes (such as 64MiB, 1GiB, 500kB, or -1)", value)
}

// humanValue is the inverse for tables; "" where it would say nothing that the value does not.
func humanValue(key, value string) string {
	n, err := strconv.ParseInt(value, 10, 64)
	units := unitsOf(key)
	if err != nil || units == nil || n <= 0 {
		return ""
	}
	if n == math.MaxInt64 {
		return "max"
	}
	for _, u := range units {
		if n >= u.size && n%u.size == 0 {
			if u.size == 1 {
				return ""
			}
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return ""
}

// topicKeys are the configuration keys of a topic.
func topicKeys() []string {
	var names []string
	for _, k := range topicconfig.Keys() {
		names = append(names, k.Name)
	}
	return names
}

// helpColumns is how wide lists in a help text are.
const helpColumns = 110

// indented is words, separated by commas, in indented lines of at most so many columns.
func indented(words []string, columns int) string {
	var text strings.Builder
	at := 0
	for i, w := range words {
		switch {
		case i == 0:
			text.WriteString("  ")
		case at+2+len(w) > columns:
			text.WriteString(",\n  ")
			at = 0
		default:
			text.WriteString(", ")
			at += 2
		}
		text.WriteString(w)
		at += len(w)
	}
	return text.String()
}

// completeConfigs offers the configuration keys of a topic.
func completeConfigs(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	keys := topicKeys()
	for i := range keys {
		keys[i] += "="
	}
	return keys, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}

// parseWait parses a duration with days and weeks, beside Go's own.
func parseWait(s string) (time.Duration, error) {
	if d, err := time.ParseDuration(s); err == nil {
		return d, nil
	}
	ms, err := machineValue("x.ms", s)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil || n > math.MaxInt64/int64(time.Millisecond) {
		return 0, fmt.Errorf("%q is too long", s)
	}
	return time.Duration(n) * time.Millisecond, nil
}
