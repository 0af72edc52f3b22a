package config

import "testing"

func TestValueOfEveryKey(t *testing.T) {
	c := Default()
	if len(values) != len(brokerRows)+len(clusterRows) {
		t.Errorf("%d keys can be spelled, there are %d", len(values), len(brokerRows)+len(clusterRows))
	}
	for _, k := range Keys() {
		var back Config
		if err := find(k.Name).set(&back, c.Value(k.Name)); err != nil {
			t.Errorf("%s = %q is not read back: %v", k.Name, c.Value(k.Name), err)
		} else if back.Value(k.Name) != c.Value(k.Name) {
			t.Errorf("%s: %q came back as %q", k.Name, c.Value(k.Name), back.Value(k.Name))
		}
	}
	if c.Value("nokey") != "" {
		t.Error("an unknown key has a value")
	}
}

func TestSetTakesPlainNumbersOnly(t *testing.T) {
	c := Default()
	for _, v := range []string{"64MiB", "x", "-5", "", "0"} {
		if err := c.Set("log.segment.bytes", v); err == nil {
			t.Errorf("log.segment.bytes=%q is allowed", v)
		}
	}
	before := c
	if err := c.Set("log.segment.bytes", "2097152"); err != nil {
		t.Fatal(err)
	}
	if got := c.TopicDefaults().SegmentBytes; got != 2<<20 {
		t.Errorf("topics have %d", got)
	}
	if before.Value("log.segment.bytes") != Usual("log.segment.bytes") {
		t.Error("a copy that was made before has changed")
	}
	if err := c.Set("log.segment.bytes", Usual("log.segment.bytes")); err != nil || c.TopicDefaults() != before.TopicDefaults() {
		t.Errorf("set to the default: %+v, %v", c.TopicDefaults(), err)
	}
}

func TestDynamicKeys(t *testing.T) {
	for key, want := range map[string]bool{
		"log.retention.ms": true, "log.retention.minutes": false, "log.retention.hours": false, "log.roll.ms": true, "log.roll.hours": false,
		"message.max.bytes": true, "max.connections": true, "num.partitions": false, "no.such.key": false,
	} {
		if Dynamic(key) != want {
			t.Errorf("%s: dynamic is %v", key, !want)
		}
	}
}
