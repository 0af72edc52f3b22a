package config

import (
	"strings"
	"testing"
)

func TestOverrides(t *testing.T) {
	for _, tt := range []struct{ in, want, fault string }{
		{in: ""},
		{in: " , "},
		{in: "10.0.0.8:50, 10.0.0.7:200", want: "10.0.0.7:200,10.0.0.8:50"},
		{in: "::ffff:10.0.0.7:0", want: "10.0.0.7:0"},
		{in: "::1:5", want: "::1:5"},
		{in: "[::1]:5", want: "::1:5"},
		{in: "fe80::1%eth0:5", want: "fe80::1:5"},
		{in: "10.0.0.7", fault: "has no count"},
		{in: "10.0.0.7:", fault: "whole number"},
		{in: "10.0.0.7:-1", fault: "must be from 0"},
		{in: "10.0.0.7:x", fault: "whole number"},
		{in: "host.example:5", fault: "names are not looked up"},
		{in: "10.0.0.7:5,::ffff:10.0.0.7:6", fault: "names 10.0.0.7 twice"},
	} {
		var c Config
		err := setOverrides(&c, tt.in)
		switch {
		case tt.fault == "" && (err != nil || spellOverrides(c.ConnectionsOfIP) != tt.want):
			t.Errorf("%q: %q, %v", tt.in, spellOverrides(c.ConnectionsOfIP), err)
		case tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)):
			t.Errorf("%q: %v, want %q", tt.in, err, tt.fault)
		}
	}
}
