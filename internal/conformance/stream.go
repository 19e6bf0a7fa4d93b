package conformance

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var streamProbes = []probe{
	{"streams an upload", Features{}, uploadStreams},
	{"streams a download", Features{}, downloadStreams},
	{"streams a download of known length", Features{Counted: true}, countedDownloadStreams},
	{"keeps large uploads intact", Features{}, largeUpload},
	{"keeps large downloads intact", Features{}, largeDownload},
}

func uploadStreams(t *testing.T, subject Subject) {
	first := make(chan string, 1)
	rt := subject(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 5)
		_, _ = io.ReadFull(r.Body, b)
		first <- string(b)
		rest, _ := io.ReadAll(r.Body)
		_, _ = w.Write(rest)
	}))
	from, to := io.Pipe()
	c := send(rt, request(t.Context(), t, http.MethodPost, from))
	_, err := io.WriteString(to, "first")
	require.NoError(t, err)
	assert.Equal(t, "first", receive(t, first, "the first bytes of an upload that goes on"))
	_, err = io.WriteString(to, "last")
	require.NoError(t, err)
	require.NoError(t, to.Close())
	assert.Equal(t, "last", read(t, response(t, c).Body))
}

func downloadStreams(t *testing.T, subject Subject) {
	more := make(chan struct{})
	res := response(t, send(subject(t, inTwo(t, more, false)), request(t.Context(), t, http.MethodGet, nil)))
	assert.Equal(t, "first", part(t, res.Body, 5))
	close(more)
	assert.Equal(t, "last.", read(t, res.Body))
}

func countedDownloadStreams(t *testing.T, subject Subject) {
	more := make(chan struct{})
	res := response(t, send(subject(t, inTwo(t, more, true)), request(t.Context(), t, http.MethodGet, nil)))
	assert.EqualValues(t, 10, res.ContentLength)
	assert.Equal(t, "first", part(t, res.Body, 5))
	close(more)
	assert.Equal(t, "last.", read(t, res.Body))
}

// inTwo writes half of its body, and the other once more is closed.
func inTwo(t *testing.T, more <-chan struct{}, counted bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if counted {
			w.Header().Set("Content-Length", "10")
		}
		_, _ = io.WriteString(w, "first")
		flush(w)
		pause(t.Context(), more)
		_, _ = io.WriteString(w, "last.")
	})
}

const large = 8 << 20

// noise returns bytes of which no piece repeats another, and so none can be lost,
// doubled or swapped unnoticed. They are always the same.
func noise() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{1}), large) }

func sum(r io.Reader) string {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return fmt.Sprint(n, " ", err, " ", hex.EncodeToString(h.Sum(nil)))
}

func largeUpload(t *testing.T, subject Subject) {
	rt := subject(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, sum(r.Body))
	}))
	for _, length := range []int64{large, -1} {
		r := request(t.Context(), t, http.MethodPut, noise())
		r.ContentLength = length
		assert.Equal(t, sum(noise()), read(t, response(t, send(rt, r)).Body), "length %d", length)
	}
}

func largeDownload(t *testing.T, subject Subject) {
	rt := subject(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Counted") != "" {
			w.Header().Set("Content-Length", fmt.Sprint(large))
		}
		_, _ = io.Copy(w, noise())
	}))
	for _, counted := range []string{"", "1"} {
		r := request(t.Context(), t, http.MethodGet, nil)
		r.Header.Set("X-Counted", counted)
		res := response(t, send(rt, r))
		assert.Equal(t, sum(noise()), sum(res.Body), "counted %q", counted)
		require.NoError(t, res.Body.Close())
	}
}
