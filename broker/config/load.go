package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
)

// Load reads and validates. All faults are in one error; an unknown key names the nearest known one.
func Load(s Source) (Config, error) {
	l := loader{values: koanf.New(flat), from: map[string]string{}}
	l.file(s.File)
	l.env(s.Env)
	l.flags(s.Flags)
	c := Default()
	for i := range keys {
		r := &keys[i]
		if !l.values.Exists(r.Name) {
			continue
		}
		v := asText(l.values.Get(r.Name))
		if err := r.set(&c, v); err != nil {
			l.fault("%s = %q (%s): %w", r.Name, v, l.from[r.Name], err)
		}
	}
	if len(l.faults) == 0 {
		l.cluster(&c, s.Env)
		l.faults = append(l.faults, c.check()...)
	}
	return c, errors.Join(l.faults...)
}

// loader lays the sources over each other and remembers where each value came from.
type loader struct {
	values *koanf.Koanf
	from   map[string]string
	faults []error
}

func (l *loader) fault(format string, args ...any) {
	l.faults = append(l.faults, fmt.Errorf(format, args...))
}

// flat is a delimiter that no key has: a key may begin with another one (max.connections.per.ip), so a key cannot be a path.
const flat = "/"

// put lays values, by key name, over what is there.
func (l *loader) put(values map[string]any, from func(key string) string) {
	if err := l.values.Load(confmap.Provider(values, flat), nil); err != nil {
		l.faults = append(l.faults, err)
		return
	}
	for name := range values {
		l.from[name] = from(name)
	}
}

func (l *loader) file(path string) {
	if path == "" {
		return
	}
	text, err := os.ReadFile(path)
	if err != nil {
		l.fault("read configuration: %w", err)
		return
	}
	k := koanf.New(".")
	if err := k.Load(rawbytes.Provider(text), toml.Parser()); err != nil {
		l.fault("%s is not TOML: %w", path, err)
		return
	}
	known := map[string]any{}
	all := k.All()
	for _, name := range slices.Sorted(mapKeys(all)) {
		if find(name) == nil {
			l.unknown(name, path)
			continue
		}
		known[name] = all[name]
	}
	l.put(known, func(string) string { return path })
}

// env takes the variables of the table. Others with the prefix belong to the command line's clients, but one that is nearly a
// key is a slip of the pen.
func (l *loader) env(environ []string) {
	found := map[string]any{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "QUIRE_") {
			continue
		}
		i := slices.IndexFunc(keys, func(r row) bool { return r.Env == name })
		if i >= 0 {
			found[keys[i].Name] = value
			continue
		}
		if name == secretEnv {
			continue
		}
		near, distance := nearest(name, func(r *row) string { return r.Env })
		if distance <= 2 {
			l.fault("unknown environment variable %s: did you mean %s?", name, near.Env)
		}
	}
	l.put(found, func(name string) string { return find(name).Env })
}

func (l *loader) flags(flags map[string]string) {
	found := map[string]any{}
	for _, name := range slices.Sorted(mapKeys(flags)) {
		if find(name) == nil {
			l.unknown(name, "flags")
			continue
		}
		found[name] = flags[name]
	}
	l.put(found, func(name string) string { return "--" + find(name).Flag })
}

func (l *loader) unknown(name, where string) {
	near, _ := nearest(name, func(r *row) string { return r.Name })
	l.fault("unknown configuration key %s (%s): did you mean %s?", name, where, near.Name)
}

// check holds values against each other.
func (c *Config) check() []error {
	var faults []error
	if c.MaxInFlightBytes < int64(c.MaxRequestBytes) {
		faults = append(faults, fmt.Errorf("queued.max.request.bytes = %d is below socket.request.max.bytes = %d: "+
			"the largest request would never fit", c.MaxInFlightBytes, c.MaxRequestBytes))
	}
	faults = append(faults, c.checkCluster()...)
	faults = append(faults, c.Groups.check()...)
	return faults
}

// asText is a TOML value as the environment would spell it.
func asText(v any) string {
	list, ok := v.([]any)
	if !ok {
		return fmt.Sprint(v)
	}
	items := make([]string, len(list))
	for i := range list {
		items[i] = fmt.Sprint(list[i])
	}
	return strings.Join(items, ",")
}
