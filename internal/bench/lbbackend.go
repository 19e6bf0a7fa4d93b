package main

import (
	"encoding/json"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gatewright/gateway/internal/lbsim"
)

const lbBackendRole = "lb-backends"

// lbHost is what a backend is told to be.
type lbHost struct {
	lbsim.Host
	Workers, Queue int
}

// lbServer is backends of their own behind each listener.
func lbServer(setup) (func(net.Listener) error, error) {
	return func(l net.Listener) error {
		server := &http.Server{Handler: &lbBackend{}, ReadHeaderTimeout: 10 * time.Second}
		return server.Serve(l)
	}, nil
}

// lbBackend answers when the work is done that a request says it is, which costs no CPU.
// By PUT it becomes another host, whose time begins then.
type lbBackend struct{ life atomic.Pointer[lbLife] }

// lbLife is a backend as one host.
type lbLife struct {
	lbHost
	began  time.Time
	places chan struct{} // of those who wait or are served
	slots  chan struct{} // of those who are served
}

func (b *lbBackend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		b.become(w, r)
		return
	}
	life := b.life.Load()
	if life == nil {
		http.Error(w, "nobody yet", http.StatusInternalServerError)
		return
	}
	life.serve(w, r)
}

func (b *lbBackend) become(w http.ResponseWriter, r *http.Request) {
	life := &lbLife{began: time.Now()}
	if err := json.NewDecoder(r.Body).Decode(&life.lbHost); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	life.places = make(chan struct{}, life.Workers+life.Queue)
	life.slots = make(chan struct{}, life.Workers)
	b.life.Store(life)
}

// overshoot is by how much time.Sleep sleeps too long, about.
const overshoot = 80 * time.Microsecond

// lbBody is what a backend answers.
var lbBody = make([]byte, 512)

func (l *lbLife) serve(w http.ResponseWriter, r *http.Request) {
	if l.FailFast {
		time.Sleep(time.Millisecond - overshoot)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	select {
	case l.places <- struct{}{}:
		defer func() { <-l.places }()
	default:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-r.Context().Done():
		return
	}
	// Whose client has gone by now is served all the same, as by most real backends.
	w.WriteHeader(l.work(r))
	_, _ = w.Write(lbBody)
}

// work does what r asks for and returns the status.
func (l *lbLife) work(r *http.Request) int {
	micros, err := strconv.ParseInt(r.Header.Get(lbsim.WorkHeader), 10, 64)
	if err != nil {
		return http.StatusBadRequest
	}
	at := time.Since(l.began)
	time.Sleep(l.End(at, time.Duration(micros)*time.Microsecond) - at - overshoot)
	if share := l.Failing(at); share > 0 && rand.Float64() < share {
		return http.StatusBadGateway
	}
	return http.StatusOK
}
