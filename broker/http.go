package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// admin is the HTTP server for operators: health, metrics, profiles. It has no access control, so it listens on loopback unless told.
type admin struct {
	ln     net.Listener
	server *http.Server
}

const adminIndex = `quire %s, node %d

/healthz      200 while the broker works, 503 once its storage has failed
/readyz       200 when clients are served, 503 before and while closing
/metrics      for Prometheus
/debug/pprof  profiles of the running process
`

// startAdmin serves from the very start, so that /readyz can be asked while partitions are being opened.
func (b *Broker) startAdmin() error {
	if b.cfg.HTTPAddr == "" {
		return nil
	}
	ln, err := listen("http-addr", b.cfg.HTTPAddr)
	if err != nil {
		return err
	}
	a := &admin{ln: ln, server: &http.Server{Handler: b.adminMux(), ReadHeaderTimeout: 10 * time.Second}}
	b.metrics.collectBroker(b)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := a.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			b.log.Error("admin HTTP ended", "err", err)
		}
	}()
	b.admin = a
	b.onClose("admin HTTP", func(context.Context) error {
		err := a.server.Close() // a profile that is being taken is not worth waiting for
		<-done
		return err
	})
	return nil
}

func (b *Broker) adminMux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, adminIndex, b.options.Version, b.cfg.NodeID)
	})
	mux.HandleFunc("GET /healthz", b.healthz)
	mux.HandleFunc("GET /readyz", b.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(b.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

func (b *Broker) healthz(w http.ResponseWriter, _ *http.Request) {
	if err := b.failed.Load(); err != nil {
		http.Error(w, "storage has failed: "+(*err).Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (b *Broker) readyz(w http.ResponseWriter, r *http.Request) {
	if !b.ready.Load() {
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	b.healthz(w, r)
}
