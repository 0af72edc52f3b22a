package bench

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"golang.org/x/sync/errgroup"
)

// Setup is what a result depends on.
type Setup struct {
	CPU        string      `json:"cpu"`
	CPUs       int         `json:"cpus"`
	OS         string      `json:"os"`
	Version    string      `json:"version"` // of the program that measures
	Go         string      `json:"go"`
	Client     string      `json:"client"`
	Brokers    []string    `json:"brokers"`
	Protocol   string      `json:"protocol"` // highest versions of the keys that matter here
	Server     *ServerName `json:"server"`   // null: not measured
	Durability string      `json:"durability"`

	Topic      string `json:"topic"`
	TopicMade  bool   `json:"topic_made"`
	Partitions int32  `json:"partitions"`
	Replicas   int    `json:"replicas"`

	Producers     int     `json:"producers"`
	Consumers     int     `json:"consumers"`
	RecordBytes   int     `json:"record_bytes"`
	Text          bool    `json:"text"`
	Keys          int     `json:"keys"`
	Compression   string  `json:"compression"`
	Acks          string  `json:"acks"`
	BatchBytes    int32   `json:"batch_bytes"`
	LingerMS      float64 `json:"linger_ms"`
	Window        int     `json:"window"`
	Rate          int64   `json:"rate"` // records a second; 0: as fast as they are acknowledged
	WarmUpSeconds float64 `json:"warm_up_seconds"`
	Seconds       float64 `json:"seconds"`
}

// ServerName is the process that is measured.
type ServerName struct {
	PID  int    `json:"pid"`
	Name string `json:"name"`
}

// setup looks at what is loaded, and finds the process to measure.
func (r *run) setup(ctx context.Context, adm *kadm.Client) (Setup, error) {
	l, t := r.load, r.topic
	s := Setup{
		CPU: cpuModel(), CPUs: runtime.NumCPU(), OS: osVersion(), Version: l.Version, Go: runtime.Version(), Client: clientVersion(),
		Topic: t.name, TopicMade: t.made, Partitions: t.partitions, Replicas: t.replicas,
		Producers: l.Producers, Consumers: l.Consumers, RecordBytes: l.RecordBytes, Text: l.Text, Keys: l.Keys,
		Compression: l.Compression, Acks: l.Acks, BatchBytes: l.BatchBytes, LingerMS: float64(l.Linger.Microseconds()) / 1000,
		Window: l.Window, Rate: l.Rate, WarmUpSeconds: l.WarmUp.Seconds(), Seconds: l.Duration.Seconds(),
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	brokers, err := adm.ListBrokers(ctx)
	if err != nil {
		return s, fmt.Errorf("list brokers: %w", err)
	}
	for _, b := range brokers {
		s.Brokers = append(s.Brokers, fmt.Sprintf("%s:%d", b.Host, b.Port))
	}
	if err := r.findServer(s.Brokers); err != nil {
		return s, err
	}
	if r.server != nil {
		s.Server = &ServerName{r.server.PID, r.server.Name}
	}
	var g errgroup.Group
	g.Go(func() error { s.Protocol = protocol(ctx, adm); return nil })
	g.Go(func() error { s.Durability = durability(ctx, adm, t.name, brokers.NodeIDs()); return nil })
	return s, g.Wait()
}

// findServer finds the process to measure. That there is none on this machine is no error unless one was named.
func (r *run) findServer(brokers []string) (err error) {
	switch {
	case r.load.ServerPID > 0:
		r.server, err = OpenProcess(r.load.ServerPID)
		return err
	case r.load.ServerPID == 0:
		for _, addr := range brokers {
			if r.server, err = FindListener(addr); err == nil {
				return nil
			}
		}
	}
	r.server = nil
	return nil
}

func protocol(ctx context.Context, adm *kadm.Client) string {
	versions, err := adm.ApiVersions(ctx)
	if err != nil {
		return "unknown"
	}
	for _, v := range versions.Sorted() {
		if v.Err == nil {
			produce, _ := v.KeyMaxVersion(keyProduce)
			fetch, _ := v.KeyMaxVersion(keyFetch)
			return fmt.Sprintf("Produce %d, Fetch %d", produce, fetch)
		}
	}
	return "unknown"
}

// durability says what an acknowledgement is worth, as far as the configuration tells: Quire's durability, else Kafka's flush.messages
// and flush.ms.
func durability(ctx context.Context, adm *kadm.Client, topic string, brokers []int32) string {
	if len(brokers) > 0 {
		if rcs, err := adm.DescribeBrokerConfigs(ctx, brokers[0]); err == nil && len(rcs) > 0 {
			if mode, ok := configValue(rcs[0], "durability"); ok {
				return "durability=" + mode
			}
		}
	}
	rcs, err := adm.DescribeTopicConfigs(ctx, topic)
	if err != nil || len(rcs) == 0 || rcs[0].Err != nil {
		return "unknown"
	}
	var known []string
	for _, key := range []string{"flush.messages", "flush.ms"} {
		v, ok := configValue(rcs[0], key)
		if n, err := strconv.ParseInt(v, 10, 64); !ok || err != nil {
			return "unknown"
		} else if n < 1<<62 {
			known = append(known, key+"="+v)
		}
	}
	if known == nil {
		return "no flush before the answer (flush.messages and flush.ms are not set)"
	}
	return strings.Join(known, ", ")
}

func configValue(rc kadm.ResourceConfig, key string) (string, bool) {
	for _, c := range rc.Configs {
		if c.Key == key && c.Value != nil {
			return *c.Value, true
		}
	}
	return "", false
}

func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if key, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func osVersion() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	return runtime.GOOS + " " + strings.TrimSpace(string(release))
}

func clientVersion() string {
	const module = "github.com/twmb/franz-go"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == module {
				return "franz-go " + d.Version
			}
		}
	}
	return "franz-go"
}
