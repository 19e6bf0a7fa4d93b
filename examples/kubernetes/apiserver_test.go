package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"testing"
)

const token = "eyJ-secret"

// apiServer behaves like the API server as far as a list and a watch of EndpointSlices see
// it. Its nasty truths: watches end whenever it likes, old versions are gone, a list is in
// pages and may outlive its version, what is in one service's slices is none of another's,
// bookmarks come in between, and a connection can break in the middle of a line.
type apiServer struct {
	t *testing.T

	mu      sync.Mutex
	version int
	objects map[string]object
	log     []logged
	oldest  int           // versions below are gone
	changed chan struct{} // closed, and made anew, when something has changed
	cut     chan struct{} // likewise, for watches to end
	raw     string        // what the next watch is sent before its end
	status  int           // of all answers. Zero: 200
	page    int           // of a list
	aged    bool          // what is known is too old once the first page is sent
	lists   int
	watches int
	tokens  map[string]bool // that were used
}

type object map[string]any

type logged struct {
	version int
	typ     string
	object  object
}

func newAPIServer(t *testing.T) *apiServer {
	return &apiServer{
		t: t, version: 100, objects: map[string]object{}, changed: make(chan struct{}), cut: make(chan struct{}),
		page: 2, tokens: map[string]bool{},
	}
}

// do changes something under the lock, and tells the watches.
func (s *apiServer) do(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

// cutWatches ends those that are open.
func (s *apiServer) cutWatches() {
	s.do(func() {
		close(s.cut)
		s.cut = make(chan struct{})
	})
}

func (s *apiServer) record(typ string, o object) {
	s.version++
	meta := map[string]any{"resourceVersion": strconv.Itoa(s.version)}
	for k, v := range o["metadata"].(map[string]any) {
		if k != "resourceVersion" {
			meta[k] = v
		}
	}
	versioned := object{}
	for k, v := range o {
		versioned[k] = v
	}
	versioned["metadata"] = meta
	name, _ := meta["name"].(string)
	if typ == "DELETED" {
		delete(s.objects, name)
	} else if typ != "BOOKMARK" {
		s.objects[name] = versioned
	}
	s.log = append(s.log, logged{s.version, typ, versioned})
}

// put adds or replaces a slice of the service orders.
func (s *apiServer) put(name string, endpoints ...object) {
	s.putSlice(name, "IPv4", []object{{"name": "http", "protocol": "TCP", "port": 8080}}, endpoints...)
}

func (s *apiServer) putSlice(name, family string, ports []object, endpoints ...object) {
	s.do(func() {
		typ := "ADDED"
		if s.objects[name] != nil {
			typ = "MODIFIED"
		}
		s.record(typ, object{
			"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
			"metadata": map[string]any{
				"name": name, "namespace": "shop", "labels": map[string]any{"kubernetes.io/service-name": "orders"},
			},
			"addressType": family, "ports": ports, "endpoints": endpoints,
		})
	})
}

func (s *apiServer) remove(name string) { s.do(func() { s.record("DELETED", s.objects[name]) }) }

func (s *apiServer) bookmark() {
	s.do(func() {
		s.record("BOOKMARK", object{"kind": "EndpointSlice", "metadata": map[string]any{}})
	})
}

// compact forgets what was, as etcd does.
func (s *apiServer) compact() { s.do(func() { s.log, s.oldest = nil, s.version }) }

func pod(ip, zone string, conditions ...string) object {
	o := object{"addresses": []string{ip}, "conditions": map[string]any{}, "nodeName": "n", "targetRef": map[string]any{"kind": "Pod"}}
	if zone != "" {
		o["zone"] = zone
	}
	for i, name := range []string{"ready", "serving", "terminating"} {
		if i < len(conditions) && conditions[i] != "" {
			o["conditions"].(map[string]any)[name] = conditions[i] == "yes"
		}
	}
	return o
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.mu.Lock()
	s.tokens[r.Header.Get("Authorization")] = true
	status := s.status
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case status != 0:
		refuse(w, status, "as it was told")
	case r.URL.Path != "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices":
		refuse(w, 404, "the server could not find the requested resource")
	case q.Get("labelSelector") != "kubernetes.io/service-name=orders":
		refuse(w, 400, "the wrong slices")
	case q.Get("watch") == "true":
		s.watch(w, r)
	default:
		s.list(w, r)
	}
}

func refuse(w http.ResponseWriter, code int, message string) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(failure(code, message))
}

func failure(code int, message string) object {
	return object{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": "Expired", "code": code}
}

// list sends pages. The token for the next one is the version and the place.
func (s *apiServer) list(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	version, from := s.version, 0
	if next := r.URL.Query().Get("continue"); next != "" {
		if _, err := fmt.Sscanf(next, "%d/%d", &version, &from); err != nil {
			refuse(w, 400, err.Error())
			return
		}
		if version < s.oldest {
			refuse(w, 410, "The provided continue parameter is too old")
			return
		}
	}
	var names []string
	for i := 0; len(names) < len(s.objects); i++ { // slices are called s0, s1, ...
		if name := fmt.Sprintf("s%d", i); s.objects[name] != nil {
			names = append(names, name)
		}
	}
	meta := object{"resourceVersion": strconv.Itoa(version)}
	items := []object{}
	for i := from; i < len(names) && i < from+s.page; i++ {
		items = append(items, s.objects[names[i]])
	}
	if from+s.page < len(names) {
		meta["continue"] = fmt.Sprintf("%d/%d", version, from+s.page)
		if s.aged {
			s.aged = false
			s.version++
			s.log, s.oldest = nil, s.version
		}
	}
	_ = json.NewEncoder(w).Encode(object{"kind": "EndpointSliceList", "metadata": meta, "items": items})
}

func (s *apiServer) watch(w http.ResponseWriter, r *http.Request) {
	from, err := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	if err != nil || r.URL.Query().Get("timeoutSeconds") == "" || r.URL.Query().Get("allowWatchBookmarks") != "true" {
		s.t.Errorf("a watch of %s", r.URL)
	}
	s.mu.Lock()
	s.watches++
	cut, raw := s.cut, s.raw
	s.raw = ""
	s.mu.Unlock()
	flush := http.NewResponseController(w).Flush
	_ = flush()
	if raw != "" {
		_, _ = io.WriteString(w, raw)
		_ = flush()
		panic(http.ErrAbortHandler) // the connection breaks
	}
	encoder := json.NewEncoder(w)
	for {
		s.mu.Lock()
		changed, log, gone := s.changed, s.log, from < s.oldest
		s.mu.Unlock()
		if gone {
			_ = encoder.Encode(object{"type": "ERROR", "object": failure(410, "too old resource version")})
			return
		}
		for _, l := range log {
			if l.version > from {
				from = l.version
				_ = encoder.Encode(object{"type": l.typ, "object": l.object})
			}
		}
		_ = flush()
		select {
		case <-changed:
		case <-cut:
			return
		case <-r.Context().Done():
			return
		}
	}
}
