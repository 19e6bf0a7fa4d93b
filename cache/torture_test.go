package cache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/gatewright/gateway/cache"
)

// document is at a URL that many read and some change.
type document struct {
	version atomic.Int64
	told    atomic.Int64 // the last of which a client was told that it is there
}

// library is an origin of documents, in all the ways in which one can be answered with.
type library struct{ documents [4]document }

func (l *library) at(path string) *document { return &l.documents[path[1]-'0'] }

func (l *library) RoundTrip(r *http.Request) (*http.Response, error) {
	d := l.at(r.URL.Path)
	h := http.Header{"Cache-Control": {[]string{"max-age=60", "no-cache", "private", "max-age=0, stale-if-error=60", "max-age=60"}[rand.IntN(5)]}}
	if r.Method == http.MethodPost {
		h.Set("X-Version", strconv.FormatInt(d.version.Add(1), 10))
		return &http.Response{StatusCode: 204, Header: h, Body: http.NoBody, Request: r}, nil
	}
	language := r.Header.Get("Accept-Language")
	version := strconv.FormatInt(d.version.Load(), 10)
	h["Etag"], h["Vary"] = []string{`"` + language + version + `"`}, []string{"Accept-Language"}
	switch {
	case r.Header.Get("If-None-Match") == h["Etag"][0]:
		return &http.Response{StatusCode: 304, Header: h, Body: http.NoBody, Request: r}, nil
	case rand.IntN(20) == 0:
		return nil, errors.New("refused")
	}
	body := r.URL.Path + " " + language + " " + version + " " + strings.Repeat("x", rand.IntN(8000)) + "."
	length := int64(len(body))
	if rand.IntN(2) == 0 {
		length = -1
	}
	return &http.Response{
		StatusCode: 200, Header: h, ContentLength: length, ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Body: io.NopCloser(&pieces{r: strings.NewReader(body), breaks: rand.IntN(20) == 0}),
	}, nil
}

// pieces comes a little at a time, and may break off.
type pieces struct {
	r      io.Reader
	breaks bool
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.breaks && rand.IntN(10) == 0 {
		return 0, errors.New("reset")
	}
	return p.r.Read(b[:min(len(b), 1+rand.IntN(2000))])
}

// TestWhoeverAsksGetsAWholeDocumentNoOlderThanTheLastChange has readers, writers and those
// who leave at random. Nobody may get another's document, half of one as if it were whole,
// or one that was changed before they asked.
func TestWhoeverAsksGetsAWholeDocumentNoOlderThanTheLastChange(t *testing.T) {
	for name, s := range map[string]cache.Cache{"memory": cache.Memory(1 << 20), "another store": &store{Cache: cache.Memory(1 << 20)}} {
		t.Run(name, func(t *testing.T) { torture(t, s) })
	}
}

func torture(t *testing.T, s cache.Cache) {
	t.Helper()
	l := new(library)
	rt := &cache.Transport{Base: l, Store: s, Timeout: time.Minute, MaxBody: 4000}
	var wg sync.WaitGroup
	var whole atomic.Int64
	for range 16 {
		wg.Go(func() {
			for range 200 {
				path := "/" + strconv.Itoa(rand.IntN(len(l.documents)))
				if rand.IntN(20) == 0 {
					a := fetch(rt, request("POST", path))
					l.at(path).tell(a.header.Get("X-Version"))
					continue
				}
				l.read(t, rt, path, &whole)
			}
		})
	}
	wg.Wait()
	assert.Greater(t, whole.Load(), int64(1000))
}

func (d *document) tell(version string) {
	v, _ := strconv.ParseInt(version, 10, 64)
	for old := d.told.Load(); old < v && !d.told.CompareAndSwap(old, v); old = d.told.Load() {
	}
}

// read asks for a document, perhaps leaves, and judges what has come.
func (l *library) read(t *testing.T, rt http.RoundTripper, path string, whole *atomic.Int64) {
	t.Helper()
	language := []string{"de", "en"}[rand.IntN(2)]
	var lines []string
	if rand.IntN(3) == 0 {
		lines = append(lines, "Cache-Control: no-cache")
	}
	r := request("GET", path, append(lines, "Accept-Language: "+language)...)
	ctx, cancel := context.WithCancel(r.Context())
	before := l.at(path).told.Load()
	if rand.IntN(10) == 0 {
		go cancel()
	}
	a := fetch(rt, r.WithContext(ctx))
	cancel()
	if a.err != nil {
		return
	}
	whole.Add(1)
	version := -1
	var gotPath, gotLanguage string
	_, err := fmt.Sscanf(a.body, "%s %s %d", &gotPath, &gotLanguage, &version)
	assert.NoError(t, err)
	assert.Equal(t, path+" "+language, gotPath+" "+gotLanguage)
	assert.True(t, strings.HasSuffix(a.body, "."), "cut")
	assert.GreaterOrEqual(t, int64(version), before, a.cache)
}
