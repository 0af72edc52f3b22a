package main

import "testing"

func TestMachineValue(t *testing.T) {
	for _, tc := range []struct{ key, value, want string }{
		{"retention.ms", "1d", "86400000"},
		{"retention.ms", "1h30m", "5400000"},
		{"retention.ms", "1.5h", "5400000"},
		{"retention.ms", "2w", "1209600000"},
		{"retention.ms", "250ms", "250"},
		{"retention.ms", "-1", "-1"},
		{"retention.ms", "5", "5"},
		{"flush.ms", "max", "9223372036854775807"},
		{"segment.bytes", "64MiB", "67108864"},
		{"segment.bytes", "1GiB", "1073741824"},
		{"segment.bytes", "500kB", "500000"},
		{"segment.bytes", "1048576B", "1048576"},
		{"segment.bytes", "0.5KiB", "512"},
		{"cleanup.policy", "compact", "compact"},
		{"flush.messages", "1d", "1d"}, // no units: the broker says what is wrong with it
	} {
		if got, err := machineValue(tc.key, tc.value); err != nil || got != tc.want {
			t.Errorf("%s=%s: %q %v, want %q", tc.key, tc.value, got, err, tc.want)
		}
	}
	for _, tc := range []struct{ key, value string }{
		{"retention.ms", ""}, {"retention.ms", "1y"}, {"retention.ms", "d"}, {"retention.ms", "1d "}, {"retention.ms", "0.1ms"},
		{"retention.ms", "1MiB"}, {"segment.bytes", "64MX"}, {"segment.bytes", "1d"}, {"segment.bytes", "99999999TiB"},
	} {
		if got, err := machineValue(tc.key, tc.value); err == nil {
			t.Errorf("%s=%s: understood as %q", tc.key, tc.value, got)
		}
	}
}

func TestHumanValue(t *testing.T) {
	for _, tc := range []struct{ key, value, want string }{
		{"retention.ms", "604800000", "1w"},
		{"retention.ms", "259200000", "3d"},
		{"retention.ms", "1500", ""},
		{"retention.ms", "-1", ""},
		{"flush.ms", "9223372036854775807", "max"},
		{"segment.bytes", "134217728", "128MiB"},
		{"max.message.bytes", "1048588", ""},
		{"segment.bytes", "5000000", "5MB"},
		{"cleanup.policy", "delete", ""},
	} {
		if got := humanValue(tc.key, tc.value); got != tc.want {
			t.Errorf("%s=%s: %q, want %q", tc.key, tc.value, got, tc.want)
		}
	}
}

func TestParseConfigs(t *testing.T) {
	got, err := parseConfigs([]string{"retention.ms=1d", "a=b=c"})
	if err != nil || *got["retention.ms"] != "86400000" || *got["a"] != "b=c" {
		t.Errorf("%v %v", got, err)
	}
	for _, bad := range []string{"", "retention.ms", "=1", "retention.ms=soon"} {
		if _, err := parseConfigs([]string{bad}); exitCode(err) != exitUsage {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
