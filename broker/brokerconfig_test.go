package broker

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// alterBroker changes one key of a broker resource and returns the code.
func (c *testClient) alterBroker(name, key string, op kmsg.IncrementalAlterConfigOp, value *string, dry bool) int16 {
	c.t.Helper()
	r := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r.Version, r.ValidateOnly = 1, dry
	rr, rc := kmsg.NewIncrementalAlterConfigsRequestResource(), kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	rc.Name, rc.Op, rc.Value = key, op, value
	rr.ResourceType, rr.ResourceName, rr.Configs = kmsg.ConfigResourceTypeBroker, name, append(rr.Configs, rc)
	r.Resources = append(r.Resources, rr)
	return c.do(r).(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode
}

// wantBrokerKey checks what counts for max.connections and the order of what is set for it.
func (c *testClient) wantBrokerKey(name, value string, sources ...kmsg.ConfigSource) {
	c.t.Helper()
	got := c.describe(kmsg.ConfigResourceTypeBroker, name, "max.connections").Configs
	if len(sources) == 0 {
		if len(got) != 0 {
			c.t.Errorf("broker %q: %+v", name, got)
		}
		return
	}
	if len(got) != 1 || *got[0].Value != value || got[0].ReadOnly || got[0].Source != sources[0] || len(got[0].ConfigSynonyms) != len(sources) {
		c.t.Fatalf("broker %q: %+v, want %s from %v", name, got, value, sources)
	}
	for i, s := range got[0].ConfigSynonyms {
		if s.Source != sources[i] {
			c.t.Errorf("broker %q: synonym %d: %+v", name, i, s)
		}
	}
}

func TestBrokerConfigChangesWhileItRuns(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(dir)
	cfg.MaxConnections = 50
	b := startBroker(t, cfg)
	c := newTestClient(t, b)
	const (
		set, remove, add = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete, kmsg.IncrementalAlterConfigOpAppend
		own, common      = kmsg.ConfigSourceDynamicBrokerConfig, kmsg.ConfigSourceDynamicDefaultBrokerConfig
		static, usual    = kmsg.ConfigSourceStaticBrokerConfig, kmsg.ConfigSourceDefaultConfig
	)
	for _, tt := range []struct {
		name, key string
		op        kmsg.IncrementalAlterConfigOp
		value     *string
		dry       bool
		want      int16
	}{
		{"1", "max.connections", set, nullable("7"), true, 0}, // which changes nothing
		{"1", "max.connections", set, nullable("-3"), false, 42},
		{"1", "max.connections", set, nullable("x"), false, 42},
		{"1", "max.connections", set, nil, false, 42},
		{"1", "max.connections", add, nullable("3"), false, 40},
		{"9", "max.connections", set, nullable("3"), false, 42},
		{"1", "num.partitions", set, nullable("3"), false, 42},
		{"1", "num.partitions", remove, nil, false, 0},
		{"1", "no.such.key", set, nullable("3"), false, 42},
	} {
		if got := c.alterBroker(tt.name, tt.key, tt.op, tt.value, tt.dry); got != tt.want {
			t.Errorf("%+v: code %d", tt, got)
		}
	}
	c.wantBrokerKey("1", "50", static, usual)
	c.wantBrokerKey("", "")
	if c.alterBroker("", "max.connections", set, nullable("40"), false) != 0 || c.alterBroker("1", "max.connections", set, nullable("1"), false) != 0 {
		t.Fatal("not set")
	}
	c.wantBrokerKey("1", "1", own, common, static, usual)
	c.wantBrokerKey("", "40", common)
	refused, err := net.Dial("tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer refused.Close()
	_ = refused.SetDeadline(time.Now().Add(testWait))
	if _, err := refused.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a second connection: %v", err)
	}
	replaceAll := kmsg.NewPtrAlterConfigsRequest()
	rr := kmsg.NewAlterConfigsRequestResource()
	rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceTypeBroker, "1"
	replaceAll.Resources = append(replaceAll.Resources, rr)
	if got := c.do(replaceAll).(*kmsg.AlterConfigsResponse).Resources[0]; got.ErrorCode != 0 {
		t.Errorf("%+v", got)
	}
	c.wantBrokerKey("1", "40", common, static, usual)
	newTestClient(t, b).wantBrokerKey("1", "40", common, static, usual) // let in again
	if err := b.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	b = startBroker(t, cfg)
	newTestClient(t, b).wantBrokerKey("1", "40", common, static, usual) // after a restart
	if n := b.connLimits().all; n != 40 {
		t.Errorf("the limit is %d", n)
	}
}
