package broker

import "github.com/twmb/franz-go/pkg/kmsg"

// apis is the dispatch table: what is not in it is not advertised, and whoever sends it is disconnected.
func apis() []api {
	return []api{
		{kmsg.ApiVersions, 0, 5, startApiVersions},
	}
}

// maxKey is the largest request key that the table can hold.
const maxKey = 127

// dispatch finds the row of a request key. It never changes once it is built.
type dispatch struct {
	rows  []api
	byKey [maxKey + 1]*route
}

// route is a row with what is resolved once: its metrics.
type route struct {
	api
	metrics requestMetrics
}

func newDispatch(rows []api, m *metrics) *dispatch {
	d := &dispatch{rows: rows}
	for _, row := range rows {
		d.byKey[row.key] = &route{api: row, metrics: m.request(row.key.Name())}
	}
	return d
}

// find returns the route of a key; nil if the table has none.
func (d *dispatch) find(key int16) *route {
	if key < 0 || key > maxKey {
		return nil
	}
	return d.byKey[key]
}
