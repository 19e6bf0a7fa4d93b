package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// demo is the backends that the program starts for itself.
type demo struct {
	replicas []*replica
	running  sync.WaitGroup
}

// replica is one server of a service.
type replica struct {
	service, kind, url string
	server             *http.Server
}

// start starts the replicas of a service and returns their URLs.
func (d *demo) start(service string) (urls []string, err error) {
	for _, kind := range []string{"steady", "slow", "flaky"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		r := &replica{service: service, kind: kind, url: "http://" + l.Addr().String()}
		r.server = &http.Server{Handler: r.handler(), ReadHeaderTimeout: 5 * time.Second}
		d.running.Go(func() { _ = r.server.Serve(l) }) // which ends when it is closed
		d.replicas = append(d.replicas, r)
		urls = append(urls, r.url)
	}
	return urls, nil
}

func (d *demo) close() {
	for _, r := range d.replicas {
		r.server.Close()
	}
	d.running.Wait()
}

// handler is the service with the character of the replica, and a way to end it.
func (r *replica) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /die", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "7")
		_, _ = io.WriteString(w, "killed\n")
		_ = http.NewResponseController(w).Flush()
		r.server.Close() // all its connections too, as a crash would
	})
	mux.Handle("/", characters[r.kind](services[r.service]))
	return mux
}

// characters are what replicas do to the requests they get.
var characters = map[string]func(http.Handler) http.Handler{
	"steady": func(h http.Handler) http.Handler { return h },
	"slow": func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(100 * time.Millisecond):
				h.ServeHTTP(w, r)
			case <-r.Context().Done():
			}
		})
	},
	"flaky": func(h http.Handler) http.Handler {
		var n atomic.Int64
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1)%3 == 0 {
				http.Error(w, "out of luck", http.StatusBadGateway)
				return
			}
			h.ServeHTTP(w, r)
		})
	},
}

// services answer as those of a shop with one customer would.
var services = map[string]http.Handler{
	"users":  usersService(),
	"orders": ordersService(),
	"offers": offersService(),
}

func usersService() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/users/{id}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("id") != "ada" {
			http.NotFound(w, r)
			return
		}
		writeJSON(w, map[string]string{"id": "ada", "name": "Ada Lovelace", "segment": "gold"})
	})
	return mux
}

func ordersService() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/orders", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, []map[string]any{{"id": 1, "user": r.FormValue("user"), "total": json.Number("12.50")}})
	})
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, map[string]string{"id": r.PathValue("id"), "state": "shipped"})
	})
	mux.HandleFunc("POST /orders/", func(w http.ResponseWriter, r *http.Request) {
		if n, err := io.Copy(io.Discard, r.Body); err == nil {
			w.WriteHeader(http.StatusCreated)
			writeJSON(w, map[string]any{"id": 2, "bytes": n})
		}
	})
	return mux
}

func offersService() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/offers", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=5") // the same for a whole segment
		writeJSON(w, []map[string]string{{"title": "Tea, 10 % off", "for": r.FormValue("segment")}})
	})
	return mux
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // whoever asked may have left
}
