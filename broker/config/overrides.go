package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// setOverrides reads a list like "10.0.0.7:200,::1:5". Kafka looks names up here; that would make who gets in depend on a name
// server's answer at one moment, so only addresses are taken. Like Kafka it reads the count behind the last colon.
func setOverrides(c *Config, v string) error {
	overrides := make(map[netip.Addr]int)
	for item := range strings.SplitSeq(v, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		colon := strings.LastIndexByte(item, ':')
		if colon < 0 {
			return fmt.Errorf("must be a list like 10.0.0.7:200,10.0.0.8:50, but %q has no count", item)
		}
		addr, err := netip.ParseAddr(strings.Trim(item[:colon], "[]"))
		if err != nil {
			return fmt.Errorf("%q must be an address: names are not looked up", item[:colon])
		}
		var count int
		if err := setInt(&count, strings.TrimSpace(item[colon+1:]), 0, 1_000_000); err != nil {
			return fmt.Errorf("count of %s %w", addr, err)
		}
		addr = addr.Unmap().WithZone("")
		if _, twice := overrides[addr]; twice {
			return fmt.Errorf("names %s twice", addr)
		}
		overrides[addr] = count
	}
	c.ConnectionsOfIP = overrides
	return nil
}

// spellOverrides is what setOverrides reads, in order of address.
func spellOverrides(overrides map[netip.Addr]int) string {
	items := make([]string, 0, len(overrides))
	for _, a := range slices.SortedFunc(maps.Keys(overrides), netip.Addr.Compare) {
		items = append(items, a.String()+":"+strconv.Itoa(overrides[a]))
	}
	return strings.Join(items, ",")
}
