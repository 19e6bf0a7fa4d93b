package conformance

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var cutScenes = []scene{
	{"lets a chunked body that breaks off look cut", Features{}, cutBody(false)},
	{"lets a counted body that breaks off look cut", Features{}, cutBody(true)},
	{"ends the backend when the client leaves before the header", Features{}, clientLeaves(false)},
	{"ends the backend when the client leaves in mid-body", Features{}, clientLeaves(true)},
	{"ends the backend's upload when the client leaves in it", Features{}, clientLeavesUpload},
	{"answers for a backend that dies before its header", Features{}, deadBackend},
}

// cutBody is incident 12 (golang/go#28239).
func cutBody(counted bool) func(*testing.T, Proxy) {
	return func(t *testing.T, proxy Proxy) {
		onBoth(t, proxy(t, dying(counted)), func(t *testing.T, s *httptest.Server) {
			a := receive(t, ask(t, s, request(t.Context(), t, http.MethodGet, nil)), "an answer")
			if a.err != nil {
				return // also broken, and nobody takes it for whole
			}
			defer a.res.Body.Close()
			if a.res.StatusCode == http.StatusBadGateway {
				return // it was noticed before the header was out
			}
			_, err := io.ReadAll(a.res.Body)
			require.Error(t, err)
		})
	}
}

// soon is within which a client that leaves must be known at the backend (incident 13).
const soon = time.Second

func clientLeaves(half bool) func(*testing.T, Proxy) {
	return func(t *testing.T, proxy Proxy) {
		var h *silent
		handler := proxy(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }))
		onBoth(t, handler, func(t *testing.T, s *httptest.Server) {
			h = newSilent(t, half)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			c := ask(t, s, request(ctx, t, http.MethodGet, nil))
			receive(t, h.began, "the request at the backend")
			if half {
				assert.Equal(t, "half", part(t, response(t, c).Body, 4))
			}
			left := time.Now()
			leave()
			receive(t, h.ended, "the end of the backend's context")
			assert.Less(t, time.Since(left), soon)
			if !half {
				require.ErrorIs(t, receive(t, c, "the client's end").err, context.Canceled)
			}
		})
	}
}

func clientLeavesUpload(t *testing.T, proxy Proxy) {
	type upload struct{ began, ended chan error }
	var u upload
	handler := proxy(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadFull(r.Body, make([]byte, 1))
		u.began <- err
		_, err = io.Copy(io.Discard, r.Body)
		u.ended <- err
	}))
	onBoth(t, handler, func(t *testing.T, s *httptest.Server) {
		u = upload{make(chan error, 1), make(chan error, 1)}
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		from, to := io.Pipe()
		c := ask(t, s, request(ctx, t, http.MethodPost, from))
		_, err := to.Write([]byte("x"))
		require.NoError(t, err)
		require.NoError(t, receive(t, u.began, "the first byte at the backend"))
		left := time.Now()
		leave()
		require.Error(t, receive(t, u.ended, "the end of the backend's upload"), "half of an upload looks whole")
		assert.Less(t, time.Since(left), soon)
		require.NoError(t, to.Close()) // the client itself may wait for what it sends
		require.Error(t, receive(t, c, "the client's end").err)
	})
}

func deadBackend(t *testing.T, proxy Proxy) {
	handler := proxy(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	onBoth(t, handler, func(t *testing.T, s *httptest.Server) {
		res := response(t, ask(t, s, request(t.Context(), t, http.MethodPost, nil)))
		assert.Equal(t, http.StatusBadGateway, res.StatusCode)
		assert.NotContains(t, read(t, res.Body), "127.0.0.1", "a problem names no upstream")
	})
}
