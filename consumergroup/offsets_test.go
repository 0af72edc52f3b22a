package consumergroup

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quirelog/quire/consumergroup/offsets"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// parts makes a commit of several partitions of a topic.
func parts(version int16, topic string, id byte, partitions ...int32) *kmsg.OffsetCommitRequest {
	req := commit("g", topic, 0, 0)
	req.Version = version
	req.Topics[0].TopicID, req.Topics[0].Partitions = [16]byte{id}, nil
	for _, n := range partitions {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch = n, int64(100+n), 5
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, p)
	}
	return req
}

func commitCodes(r kmsg.Response) (all []int16) {
	for _, t := range r.(*kmsg.OffsetCommitResponse).Topics {
		for _, p := range t.Partitions {
			all = append(all, p.ErrorCode)
		}
	}
	return all
}

func TestCommitsAreRefusedOneByOne(t *testing.T) {
	for _, tc := range []struct {
		name string
		req  func() *kmsg.OffsetCommitRequest
		want []int16
	}{
		{"all well", func() *kmsg.OffsetCommitRequest { return parts(8, "orders", 0, 0, 7) }, []int16{0, 0}},
		{"partitions that do not exist", func() *kmsg.OffsetCommitRequest { return parts(8, "orders", 0, 7, 8, -1) }, []int16{0, 3, 3}},
		{"a topic that does not exist", func() *kmsg.OffsetCommitRequest { return parts(8, "nothing", 0, 0, 1) }, []int16{3, 3}},
		{"an id that does not exist", func() *kmsg.OffsetCommitRequest { return parts(10, "", 9, 0, 1) }, []int16{100, 100}},
		{"by id", func() *kmsg.OffsetCommitRequest { return parts(10, "", 1, 0, 8) }, []int16{0, 3}},
		{"metadata too long", func() *kmsg.OffsetCommitRequest {
			req := parts(8, "orders", 0, 0, 1)
			req.Topics[0].Partitions[0].Metadata = kmsg.StringPtr(strings.Repeat("x", 4097))
			return req
		}, []int16{12, 0}},
		{"metadata of characters, not bytes", func() *kmsg.OffsetCommitRequest {
			req := parts(8, "orders", 0, 0)
			req.Topics[0].Partitions[0].Metadata = kmsg.StringPtr(strings.Repeat("ü", 4096))
			return req
		}, []int16{0}},
		{"a generation of a group that does not exist", func() *kmsg.OffsetCommitRequest {
			req := parts(8, "orders", 0, 0, 8)
			req.MemberID, req.Generation = "m", 3
			return req
		}, []int16{22, 3}},
		{"the same, newer", func() *kmsg.OffsetCommitRequest {
			req := parts(9, "orders", 0, 0, 8)
			req.MemberID, req.Generation = "m", 3
			return req
		}, []int16{69, 3}},
		{"nothing left to commit: the group is not asked", func() *kmsg.OffsetCommitRequest {
			req := parts(9, "orders", 0, 8)
			req.MemberID, req.Generation = "m", 3
			return req
		}, []int16{3}},
		{"a group id too long", func() *kmsg.OffsetCommitRequest {
			req := parts(9, "orders", 0, 0)
			req.Group = strings.Repeat("g", maxName+1)
			return req
		}, []int16{24}},
		{"a group without a name", func() *kmsg.OffsetCommitRequest {
			req := parts(8, "orders", 0, 0)
			req.Group = ""
			return req
		}, []int16{0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, options(2), func(t *testing.T, r *rig) {
				req := tc.req()
				resp := r.ask(req)
				if got := commitCodes(resp); !reflect.DeepEqual(got, tc.want) {
					t.Fatalf("codes %v, want %v", got, tc.want)
				}
				if topic := resp.(*kmsg.OffsetCommitResponse).Topics[0]; topic.Topic != req.Topics[0].Topic || topic.TopicID != req.Topics[0].TopicID {
					t.Errorf("answer for %q %v", topic.Topic, topic.TopicID)
				}
			})
		})
	}
}

// TestCommitTooLargeForTheJournal: what no batch can hold is refused before anything changes.
func TestCommitTooLargeForTheJournal(t *testing.T) {
	o := options(1)
	o.MaxOffsetMetadata, o.MaxBatch = 1<<20, 1<<10
	for size := 700; size < 1100; size += 7 {
		inBubble(t, o, func(t *testing.T, r *rig) {
			req := parts(4, "orders", 0, 0)
			req.RetentionTimeMillis = 1000
			req.Topics[0].Partitions[0].Metadata = kmsg.StringPtr(strings.Repeat("x", size))
			code := commitCode(r.ask(req))
			stored := len(r.logs[0].batches) > 0
			if told := len(r.committed("g")) > 0; (code == 0) != stored || stored != told {
				t.Errorf("%d bytes: code %d, stored %v, told %v", size, code, stored, told)
			}
		})
	}
	o.MaxBatch = 1 << 20
	inBubble(t, o, func(t *testing.T, r *rig) {
		req := parts(4, "orders", 0, 0)
		req.RetentionTimeMillis = 1000 // in a version of the record that has two bytes for the length
		req.Topics[0].Partitions[0].Metadata = kmsg.StringPtr(strings.Repeat("x", 1<<15))
		if code := commitCode(r.ask(req)); code != kerr.OffsetMetadataTooLarge.Code {
			t.Errorf("code %d", code)
		}
	})
}

func TestLimitOfGroups(t *testing.T) {
	o := options(2)
	o.MaxGroups = 3
	inBubble(t, o, func(t *testing.T, r *rig) {
		for i := range 3 {
			if code := commitCode(r.ask(commit(fmt.Sprint(i), "orders", 0, 1))); code != 0 {
				t.Fatalf("code %d", code)
			}
		}
		if code := commitCode(r.ask(commit("d", "orders", 0, 1))); code != kerr.GroupMaxSizeReached.Code {
			t.Errorf("a commit: code %d", code)
		}
		if code := r.ask(join("d", "")).(*kmsg.JoinGroupResponse).ErrorCode; code != kerr.GroupMaxSizeReached.Code {
			t.Errorf("a join: code %d", code)
		}
		r.ask(&kmsg.DeleteGroupsRequest{Groups: []string{"1"}})
		if code := commitCode(r.ask(commit("d", "orders", 0, 1))); code != 0 {
			t.Errorf("after a deletion: code %d", code)
		}
	})
}

// TestAbandonedJoinIsForgotten: an id that was handed out and never used leaves no group behind.
func TestAbandonedJoinIsForgotten(t *testing.T) {
	inBubble(t, options(1), func(t *testing.T, r *rig) {
		for i := range 100 {
			r.ask(join(fmt.Sprint(i), ""))
		}
		if n := r.c.groups.Load(); n != 100 {
			t.Fatalf("%d groups", n)
		}
		r.pass(time.Minute)
		if n := r.c.groups.Load(); n != 0 {
			t.Errorf("%d groups are remembered", n)
		}
	})
}

func TestFetchForms(t *testing.T) {
	inBubble(t, options(2), func(t *testing.T, r *rig) {
		with := commit("g", "orders", 2, 22)
		with.Topics[0].Partitions[0].LeaderEpoch, with.Topics[0].Partitions[0].Metadata = 6, kmsg.StringPtr("note")
		r.ask(with)
		for version := int16(0); version <= 7; version++ {
			req := &kmsg.OffsetFetchRequest{Version: version, Group: "g", Topics: []kmsg.OffsetFetchRequestTopic{
				{Topic: "orders", Partitions: []int32{2, 3}}, {Topic: "nothing", Partitions: []int32{0}}}}
			resp := r.ask(req).(*kmsg.OffsetFetchResponse)
			p := resp.Topics[0].Partitions
			if p[0].Offset != 22 || p[0].LeaderEpoch != 6 || *p[0].Metadata != "note" || p[1].Offset != -1 || p[1].LeaderEpoch != -1 || *p[1].Metadata != "" ||
				resp.Topics[1].Partitions[0].Offset != -1 || resp.Topics[1].Partitions[0].ErrorCode != 0 {
				t.Errorf("version %d: %+v", version, resp)
			}
			all := r.ask(&kmsg.OffsetFetchRequest{Version: version, Group: "g"}).(*kmsg.OffsetFetchResponse)
			if n := len(all.Topics); version < 2 && n != 0 || version >= 2 && (n != 1 || len(all.Topics[0].Partitions) != 1) {
				t.Errorf("version %d, all topics: %+v", version, all)
			}
		}
		byID := fetchAllOf("g")
		byID.Version = 10
		if got := r.ask(byID).(*kmsg.OffsetFetchResponse).Groups[0].Topics; len(got) != 1 || got[0].TopicID != [16]byte{1} {
			t.Errorf("all by id: %+v", got)
		}
		byID.Groups[0].Topics = []kmsg.OffsetFetchRequestGroupTopic{{TopicID: [16]byte{1}, Partitions: []int32{2}}, {TopicID: [16]byte{9}, Partitions: []int32{2}}}
		got := r.ask(byID).(*kmsg.OffsetFetchResponse).Groups[0].Topics
		if got[0].Partitions[0].Offset != 22 || got[1].Partitions[0].ErrorCode != kerr.UnknownTopicID.Code || got[1].Partitions[0].Offset != -1 {
			t.Errorf("by id: %+v", got)
		}
	})
}

// TestOffsetsOfARecreatedTopic: what was committed for the topic that had the name before is not told, and forgetting it leaves alone what has
// been committed since.
func TestOffsetsOfARecreatedTopic(t *testing.T) {
	for _, req := range []*kmsg.OffsetCommitRequest{parts(8, "orders", 0, 3, 4), parts(10, "", 1, 3, 4)} {
		t.Run(fmt.Sprintf("version %d", req.Version), func(t *testing.T) {
			inBubble(t, options(1), func(t *testing.T, r *rig) {
				r.ask(req)
				r.setTopics(topic("orders", 7, 8))
				if got := r.committed("g"); len(got) != 0 {
					t.Errorf("offsets %v", got)
				}
				one := fetchAllOf("g")
				one.Groups[0].Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: "orders", Partitions: []int32{3}}}
				if got := r.ask(one).(*kmsg.OffsetFetchResponse).Groups[0].Topics[0].Partitions[0]; got.Offset != -1 || got.ErrorCode != 0 {
					t.Errorf("%+v", got)
				}
				r.ask(commit("g", "orders", 4, 9))
				r.c.TopicsDeleted([]string{"orders"})
				synctest.Wait()
				r.setTopics() // any topic's offsets are told
				for range 2 {
					if got := r.committed("g"); !reflect.DeepEqual(got, map[string]map[int32]int64{"orders": {4: 9}}) {
						t.Errorf("offsets %v", got)
					}
					r.reload()
				}
			})
		})
	}
}

func offsetDelete(group, topic string, partitions ...int32) *kmsg.OffsetDeleteRequest {
	req := &kmsg.OffsetDeleteRequest{Group: group, Topics: []kmsg.OffsetDeleteRequestTopic{{Topic: topic}}}
	for _, p := range partitions {
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, kmsg.OffsetDeleteRequestTopicPartition{Partition: p})
	}
	return req
}

func TestOffsetDelete(t *testing.T) {
	inBubble(t, options(1), func(t *testing.T, r *rig) {
		if code := r.ask(offsetDelete("g", "orders", 0)).(*kmsg.OffsetDeleteResponse).ErrorCode; code != kerr.GroupIDNotFound.Code {
			t.Errorf("no group: code %d", code)
		}
		r.member("g") // reads orders
		r.ask(parts(8, "orders", 0, 1))
		id, generation := r.member("h")
		for _, c := range []*kmsg.OffsetCommitRequest{parts(8, "orders", 0, 1), parts(8, "payments", 0, 1)} {
			c.Group, c.MemberID, c.Generation = "h", id, generation
			r.ask(c)
		}
		codes := func(resp kmsg.Response) (all []int16) {
			for _, p := range resp.(*kmsg.OffsetDeleteResponse).Topics[0].Partitions {
				all = append(all, p.ErrorCode)
			}
			return all
		}
		if got := codes(r.ask(offsetDelete("h", "orders", 1))); !reflect.DeepEqual(got, []int16{86}) {
			t.Errorf("a topic that is read: codes %v", got)
		}
		if got := codes(r.ask(offsetDelete("h", "payments", 0, 1, 2))); !reflect.DeepEqual(got, []int16{0, 0, 3}) {
			t.Errorf("codes %v", got)
		}
		if got := r.committed("h"); !reflect.DeepEqual(got, map[string]map[int32]int64{"orders": {1: 101}}) {
			t.Errorf("offsets %v", got)
		}
		r.c.Lead(0, r.logs[0])
		synctest.Wait()
		if got := r.committed("h"); !reflect.DeepEqual(got, map[string]map[int32]int64{"orders": {1: 101}}) {
			t.Errorf("offsets after loading %v", got)
		}
	})
}

// TestTopicsDeleted: offsets go with their topic, also where the journal fails or is being loaded just then.
func TestTopicsDeleted(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(r *rig)
	}{
		{"as it should", func(r *rig) { r.c.TopicsDeleted([]string{"orders"}) }},
		{"while an append fails", func(r *rig) {
			at := r.logs[0].appends + 1
			r.logs[0].fault(func(n int) (time.Duration, bool, error) {
				if n == at {
					return time.Second, false, errInjected
				}
				return 0, true, nil
			})
			r.c.TopicsDeleted([]string{"orders"})
			synctest.Wait()
			r.c.TopicsDeleted([]string{"gone before"})
		}},
		{"while loading", func(r *rig) {
			r.c.Resign(0)
			began := time.Now()
			r.logs[0].reads = func() error {
				if time.Since(began) < time.Second {
					return errInjected
				}
				return nil
			}
			r.c.Lead(0, r.logs[0])
			r.c.TopicsDeleted([]string{"orders"})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, options(1), func(t *testing.T, r *rig) {
				r.ask(commit("both", "orders", 0, 1))
				r.ask(commit("both", "payments", 0, 2))
				r.ask(commit("one", "orders", 1, 3))
				r.setTopics(topic("payments", 2, 2))
				tc.do(r)
				r.pass(10 * time.Second)
				want := map[string]map[int32]int64{"payments": {0: 2}}
				for _, when := range []string{"now", "when loaded again"} {
					if got := r.committed("both"); !reflect.DeepEqual(got, want) {
						t.Errorf("%s: %v", when, got)
					}
					if n := r.c.groups.Load(); n != 1 {
						t.Errorf("%s: %d groups", when, n)
					}
					r.c.Lead(0, r.logs[0])
					synctest.Wait()
				}
			})
		})
	}
}

// TestExpiration: KIP-211, and nothing expires where no retention is set.
func TestExpiration(t *testing.T) {
	for _, retention := range []time.Duration{0, time.Hour} {
		t.Run(retention.String(), func(t *testing.T) {
			o := options(1)
			o.OffsetsRetention = retention
			inBubble(t, o, func(t *testing.T, r *rig) {
				r.ask(commit("simple", "orders", 0, 1))
				own := commit("own", "orders", 0, 1)
				own.Version, own.RetentionTimeMillis = 4, 10*60*1000
				r.ask(own)
				id, generation := r.member("busy")
				c := commit("busy", "orders", 0, 1)
				c.MemberID, c.Generation = id, generation
				r.ask(c)
				empty, _ := r.member("left")
				r.ask(&kmsg.LeaveGroupRequest{Version: 3, Group: "left", Members: []kmsg.LeaveGroupRequestMember{{MemberID: empty}}})
				for range 20 * 60 {
					r.pass(5 * time.Second)
					if code := r.ask(heartbeat("busy", id, generation)).(*kmsg.HeartbeatResponse).ErrorCode; code != 0 {
						t.Fatalf("heartbeat: code %d", code)
					}
				}
				r.c.Lead(0, r.logs[0])
				synctest.Wait()
				got := map[string]bool{}
				for _, g := range r.ask(&kmsg.ListGroupsRequest{}).(*kmsg.ListGroupsResponse).Groups {
					got[g.Group] = true
				}
				want := map[string]bool{"busy": true, "simple": retention == 0}
				if retention != 0 {
					delete(want, "simple")
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("groups %v, want %v", got, want)
				}
			})
		})
	}
}

func TestOffsetsForMetrics(t *testing.T) {
	inBubble(t, options(4), func(t *testing.T, r *rig) {
		r.ask(commit("a", "orders", 0, 1))
		r.ask(commit("b", "payments", 1, 2))
		r.member("c")
		r.c.Resign(PartitionFor("b", 4))
		all, err := r.c.Offsets(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]GroupOffsets{}
		for _, g := range all {
			got[g.Group] = g
		}
		want := map[string]GroupOffsets{
			"a": {Group: "a", State: "Empty", Offsets: map[offsets.Partition]int64{{Topic: "orders"}: 1}},
			"c": {Group: "c", State: "Stable", Members: 1, Offsets: map[offsets.Partition]int64{}},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}
