package cache

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultMaxBody = 1 << 20
	defaultTimeout = 50 * time.Millisecond
)

// Transport is a [http.RoundTripper] that answers from a store where it may, and
// keeps there what another returns: a shared cache (RFC 9111). Its fields must not
// be changed once it is in use. It may be used concurrently.
type Transport struct {
	// Base is asked for what is not stored. It is required: without it every
	// round trip fails.
	Base http.RoundTripper

	// Store keeps the responses, and may be shared with others. Nil stores nothing,
	// and everything is forwarded.
	Store Cache

	// Name sets the responses of this Transport apart from all others in Store. Two
	// that have the same Base in different processes, or one after a restart, find
	// each other's responses by having the same Name; two with different upstreams
	// must not, as a request here need not have a host. Empty is a name of its own,
	// made up at random.
	Name string

	// MaxBody is how many bytes a body may have to be stored, and so to be held in
	// memory meanwhile. Larger ones pass. Zero is 1 MiB.
	MaxBody int64

	// Timeout is how long a request waits for each call of Store, after which it
	// is a miss. Zero is 50 milliseconds.
	Timeout time.Duration

	once   sync.Once
	random string
	calls  atomic.Int64
}

var errNoBase = errors.New("cache: a Transport without a Base")

// RoundTrip answers from the store or by Base. It fails only if Base does; a
// failure of the store is a miss. A response from the store has Age and the
// Cache-Status "gateway; hit".
//
// A request with a method that is not safe always reaches Base, and if it succeeds
// (2xx, 3xx) what is stored for its URL is invalidated before RoundTrip returns
// (RFC 9111 section 4.4).
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	switch {
	case t.Base == nil:
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, errNoBase
	case t.Store == nil:
		return t.Base.RoundTrip(req)
	case !isSafe(req.Method):
		return t.change(req)
	}
	asked := requestControl(req.Header)
	if !isOutside(req, asked) {
		return t.lookup(req, asked).answer()
	}
	if asked.onlyIfCached && !hasContent(req) {
		return notCached(req), nil
	}
	return t.pass(req)
}

// pass forwards a request that the cache has no part in.
func (t *Transport) pass(req *http.Request) (*http.Response, error) {
	res, err := t.Base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	why := fwdBypass
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		why = fwdMethod
	}
	return forwarded(res, why), nil
}

// change forwards a request that may change what is stored.
func (t *Transport) change(req *http.Request) (*http.Response, error) {
	// Base may do as it likes with the request's URL once it has returned.
	key := keyOf(t.name(), req)
	res, err := t.Base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if isSuccess(res.StatusCode) {
		t.invalidate(req.Context(), key)
	}
	return forwarded(res, fwdMethod), nil
}

// isSuccess reports whether the status is a non-error one (RFC 9111 section 4.4).
func isSuccess(status int) bool { return status >= 200 && status < 400 }

// invalidate removes what is stored under the primary key: a response, or the
// index without which no variant is found.
func (t *Transport) invalidate(ctx context.Context, key string) {
	t.shelf().delete(context.WithoutCancel(ctx), key)
}

func (t *Transport) lookup(req *http.Request, asked directives) *lookup {
	l := &lookup{base: t.Base, shelf: t.shelf(), maxBody: t.MaxBody, req: req, asked: asked, key: keyOf(t.name(), req)}
	if l.maxBody == 0 {
		l.maxBody = defaultMaxBody
	}
	return l
}

func (t *Transport) shelf() shelf {
	s := shelf{store: t.Store, limit: t.Timeout, calls: &t.calls}
	if s.limit == 0 {
		s.limit = defaultTimeout
	}
	return s
}

func (t *Transport) name() string {
	if t.Name != "" {
		return t.Name
	}
	t.once.Do(func() { t.random = rand.Text() })
	return t.random
}
