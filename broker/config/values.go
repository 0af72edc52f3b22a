package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"time"
)

// integer is what numeric configuration is kept in.
type integer interface {
	~int | ~int16 | ~int32 | ~int64
}

func setInt[T integer](to *T, v string, low, high int64) error {
	n, err := strconv.ParseInt(strings.ReplaceAll(v, "_", ""), 10, 64)
	if err != nil {
		return errors.New("must be a whole number")
	}
	if n < low || n > high {
		return fmt.Errorf("must be from %d to %d", low, high)
	}
	*to = T(n)
	return nil
}

func setBool(to *bool, v string) error {
	switch strings.ToLower(v) {
	case "true":
		*to = true
	case "false":
		*to = false
	default:
		return errors.New("must be true or false")
	}
	return nil
}

// byteUnits are the units of sizes, in lower case: kB is 1000 bytes, KiB and a bare k are 1024.
var byteUnits = map[string]int64{
	"": 1, "b": 1,
	"k": 1 << 10, "kib": 1 << 10, "kb": 1000,
	"m": 1 << 20, "mib": 1 << 20, "mb": 1000 * 1000,
	"g": 1 << 30, "gib": 1 << 30, "gb": 1000 * 1000 * 1000,
}

func setBytes[T integer](to *T, v string, low, high int64) error {
	n, unit, ok := splitUnit(v)
	factor, known := byteUnits[strings.ToLower(unit)]
	if !ok || !known {
		return errors.New(`must be a size like 1048576, "64MiB" or "1GiB"`)
	}
	if n > float64(math.MaxInt64)/float64(factor)/2 || n*float64(factor) > float64(high) || n*float64(factor) < float64(low) {
		return fmt.Errorf("must be from %d to %d bytes", low, high)
	}
	*to = T(n * float64(factor))
	return nil
}

var durationUnits = map[string]time.Duration{
	"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "min": time.Minute, "h": time.Hour, "d": 24 * time.Hour,
	"w": 7 * 24 * time.Hour,
}

// setDuration reads a duration; bare is the unit of a number without one, "" if it needs one.
func setDuration(to *time.Duration, v, bare string, low, high time.Duration) error {
	n, unit, ok := splitUnit(v)
	if unit == "" {
		unit = bare
	}
	factor, known := durationUnits[unit]
	if !ok || !known {
		return errors.New(`must be a time like "500ms", "30s", "10m" or "1d"`)
	}
	if n*float64(factor) > float64(high) || n*float64(factor) < float64(low) {
		return fmt.Errorf("must be from %v to %v", low, high)
	}
	*to = time.Duration(n * float64(factor))
	return nil
}

// splitUnit takes "1.5 GiB" apart.
func splitUnit(v string) (n float64, unit string, ok bool) {
	i := strings.IndexFunc(v, func(r rune) bool { return !strings.ContainsRune("0123456789._", r) })
	if i < 0 {
		i = len(v)
	}
	n, err := strconv.ParseFloat(strings.ReplaceAll(v[:i], "_", ""), 64)
	return n, strings.TrimSpace(v[i:]), err == nil
}

// setAddr reads a listen address; an empty host is every interface.
func setAddr(to *string, v string) error {
	_, port, err := net.SplitHostPort(v)
	if err != nil {
		return errors.New(`must be an address like "127.0.0.1:9092"`)
	}
	if err := checkPort(port, 0); err != nil {
		return err
	}
	*to = v
	return nil
}

func checkPort(port string, low int) error {
	n, err := strconv.Atoi(port)
	if err != nil || n < low || n > math.MaxUint16 {
		return fmt.Errorf("port %q must be from %d to %d", port, low, math.MaxUint16)
	}
	return nil
}

// SplitAdvertised takes an advertised address apart; port is 0 where it has none.
func SplitAdvertised(v string) (host string, port int32) {
	host, p, err := net.SplitHostPort(v)
	if err != nil {
		return strings.Trim(v, "[]"), 0
	}
	n, _ := strconv.Atoi(p)
	return host, int32(n)
}

func checkAdvertised(v string) error {
	if v == "" {
		return nil
	}
	host, p, err := net.SplitHostPort(v)
	if err == nil {
		if err := checkPort(p, 1); err != nil {
			return err
		}
	} else if host = strings.Trim(v, "[]"); strings.Contains(host, ":") && net.ParseIP(host) == nil {
		return errors.New(`must be a host or an address like "broker.example.com:9092"`)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("must be a host that clients can dial, not %q", host)
	}
	return nil
}
