package config

import "testing"

func TestValueOfEveryKey(t *testing.T) {
	c := Default()
	if len(values) != len(keys) {
		t.Errorf("%d keys can be spelled, there are %d", len(values), len(keys))
	}
	for _, k := range Keys() {
		if values[k.Name] == nil {
			t.Errorf("%s cannot be spelled", k.Name)
			continue
		}
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
