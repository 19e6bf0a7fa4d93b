package conformance

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var flowScenes = []scene{
	{"sends the header of an event stream before its first event, and each event at once", Features{}, events("text/event-stream; charset=utf-8")},
	{"passes a body of unknown length as it comes", Features{}, events("application/x-ndjson")},
	{"passes a body of known length as it comes", Features{Counted: true}, countedFlow},
	{"passes an upload as it comes", Features{}, uploadFlow},
	{"passes a gRPC answer that is all trailers in one frame", Features{}, trailersOnly},
}

// events is incident 11, in golang/go#47359, #41642 and #31125.
func events(mediaType string) func(*testing.T, Proxy) {
	return func(t *testing.T, proxy Proxy) {
		next := make(chan string)
		backend := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", mediaType)
			flush(w)
			for {
				select {
				case e, ok := <-next:
					if !ok {
						return
					}
					_, _ = io.WriteString(w, e)
					flush(w)
				case <-t.Context().Done():
					return
				}
			}
		})
		handler := proxy(t, backend)
		onBoth(t, handler, func(t *testing.T, s *httptest.Server) {
			next = make(chan string)
			res := response(t, ask(t, s, request(t.Context(), t, http.MethodGet, nil))) // though nothing was written
			assert.Equal(t, mediaType, res.Header.Get("Content-Type"))
			for _, e := range []string{"data: 1\n\n", "data: 2\n\n"} {
				next <- e
				assert.Equal(t, e, part(t, res.Body, len(e)))
			}
			close(next)
			assert.Empty(t, read(t, res.Body))
		})
	}
}

func countedFlow(t *testing.T, proxy Proxy) {
	more := make(chan struct{}, 2)
	onBoth(t, proxy(t, inTwo(t, more, true)), func(t *testing.T, s *httptest.Server) {
		res := response(t, ask(t, s, request(t.Context(), t, http.MethodGet, nil)))
		assert.EqualValues(t, 10, res.ContentLength)
		assert.Equal(t, "first", part(t, res.Body, 5))
		more <- struct{}{}
		assert.Equal(t, "last.", read(t, res.Body))
	})
}

func uploadFlow(t *testing.T, proxy Proxy) {
	first := make(chan string, 1)
	backend := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 5)
		_, _ = io.ReadFull(r.Body, b)
		first <- string(b)
		rest, _ := io.ReadAll(r.Body)
		_, _ = w.Write(rest)
	})
	onBoth(t, proxy(t, backend), func(t *testing.T, s *httptest.Server) {
		from, to := io.Pipe()
		c := ask(t, s, request(t.Context(), t, http.MethodPost, from))
		_, err := io.WriteString(to, "first")
		require.NoError(t, err)
		assert.Equal(t, "first", receive(t, first, "the first bytes of an upload that goes on"))
		_, err = io.WriteString(to, "last")
		require.NoError(t, err)
		require.NoError(t, to.Close())
		assert.Equal(t, "last", read(t, response(t, c).Body))
	})
}

// trailersOnly: clients of gRPC take grpc-status from the first frame only if that is
// also the last one.
func trailersOnly(t *testing.T, proxy Proxy) {
	for name, chunked := range map[string]bool{"counted": false, "chunked": true} {
		t.Run(name, func(t *testing.T) {
			s := front2(t, proxy(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/grpc")
				w.Header().Set("Grpc-Status", "12")
				if chunked {
					flush(w)
				}
			})))
			for range 20 { // a flush from a timer breaks it only now and then
				r := request(t.Context(), t, http.MethodPost, nil)
				r.Header.Set("Te", "trailers")
				res := response(t, ask(t, s, r))
				assert.Equal(t, "12", res.Header.Get("Grpc-Status"))
				// There is no other sign of it than which body net/http gives.
				require.Contains(t, fmt.Sprintf("%T", res.Body), "noBody", "the header's frame ends the stream")
			}
		})
	}
}
