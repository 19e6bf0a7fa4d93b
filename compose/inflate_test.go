package compose

import (
	"bytes"
	stdgzip "compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/andybalholm/brotli"
	"github.com/gatewright/gateway"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// deflated returns content in a coding.
func deflated(t testing.TB, coding, content string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip", "x-gzip":
		w = gzip.NewWriter(&b)
	case "br":
		w = brotli.NewWriter(&b)
	case "zstd":
		z, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
		require.NoError(t, err)
		w = z
	default:
		return content
	}
	_, err := io.WriteString(w, content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.String()
}

// coded is a response with its content codings listed in fields.
func coded(body io.Reader, fields ...string) *http.Response {
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Encoding": fields}, ContentLength: -1, Body: io.NopCloser(body)}
}

// content returns what a part reads of res.
func content(res *http.Response) (string, error) {
	r, err := inflated(res)
	if err != nil {
		return "", err
	}
	b, err := readAll(nil, r)
	return string(b), err
}

var everyCoding = []string{"gzip", "x-gzip", "br", "zstd"}

func TestContentCodingsAreTakenOff(t *testing.T) {
	text := strings.Repeat(`{"tea":"milk"},`, 5000)
	for _, c := range []struct {
		fields  []string
		applied []string
	}{
		{[]string{"gzip"}, []string{"gzip"}},
		{[]string{"x-gzip"}, []string{"gzip"}},
		{[]string{"GZip"}, []string{"gzip"}},
		{[]string{"br"}, []string{"br"}},
		{[]string{"zstd"}, []string{"zstd"}},
		{[]string{"identity"}, nil},
		{[]string{""}, nil},
		{[]string{" , identity ,zstd ,"}, []string{"zstd"}},
		{[]string{"gzip, br"}, []string{"gzip", "br"}},
		{[]string{"br", "zstd"}, []string{"br", "zstd"}},
		{[]string{"zstd, identity", "zstd"}, []string{"zstd", "zstd"}},
	} {
		body := text
		for _, coding := range c.applied {
			body = deflated(t, coding, body)
		}
		for range 3 { // with a new inflater, and then one that was used
			got, err := content(coded(strings.NewReader(body), c.fields...))
			require.NoError(t, err, c.fields)
			assert.Equal(t, text, got, c.fields)
		}
		got, err := content(coded(iotest.OneByteReader(strings.NewReader(body)), c.fields...))
		require.NoError(t, err, c.fields)
		assert.Equal(t, text, got, c.fields)
		got, err = content(coded(iotest.DataErrReader(strings.NewReader(body)), c.fields...))
		require.NoError(t, err, c.fields)
		assert.Equal(t, text, got, c.fields)
	}
}

func TestStreamsOneAfterTheOtherAreOneContent(t *testing.T) {
	for _, coding := range []string{"gzip", "zstd"} { // RFC 1952 section 2.2, RFC 8878 section 3
		got, err := content(coded(strings.NewReader(deflated(t, coding, "[1,")+deflated(t, coding, "2]")), coding))
		require.NoError(t, err)
		assert.Equal(t, "[1,2]", got)
	}
}

func TestContentCodingsThatAreRefused(t *testing.T) {
	for _, fields := range [][]string{{"deflate"}, {"compress"}, {"gzip;q=1"}, {"aes128gcm"}, {"gzip, unknown"}, {"gzip, gzip, gzip"}, {"br", "br", "br"}} {
		_, err := content(coded(strings.NewReader(""), fields...))
		require.Error(t, err, fields)
	}
}

func TestAStreamCutOffAnywhereIsAnError(t *testing.T) {
	for _, coding := range everyCoding {
		whole := deflated(t, coding, strings.Repeat("tea and milk, ", 50)+"sugar")
		for n := range len(whole) {
			_, err := content(coded(strings.NewReader(whole[:n]), coding))
			require.Error(t, err, "%s cut at %d of %d", coding, n, len(whole))
		}
	}
}

func TestGarbageIsAnError(t *testing.T) {
	text := strings.Repeat("tea and milk, ", 50)
	for _, coding := range everyCoding {
		whole := deflated(t, coding, text)
		for what, body := range map[string]string{
			"plain": `{"a":1}`, "html": "<html>502</html>", "behind the end": whole + "x", "zeros": strings.Repeat("\x00", 100), "zeros behind the end": whole + strings.Repeat("\x00", 512),
		} {
			_, err := content(coded(strings.NewReader(body), coding))
			require.Error(t, err, "%s: %s", coding, what)
		}
	}
}

func TestAWrongChecksumIsAnError(t *testing.T) {
	for _, coding := range []string{"gzip", "zstd"} { // brotli has none
		whole := []byte(deflated(t, coding, strings.Repeat("tea and milk, ", 50)))
		for at := len(whole) - 4; at < len(whole); at++ {
			broken := bytes.Clone(whole)
			broken[at] ^= 1
			_, err := content(coded(bytes.NewReader(broken), coding))
			require.Error(t, err, "%s at %d", coding, at)
		}
	}
}

// endless is a body that goes on until it is left.
type endless struct {
	piece string
	read  int
}

func (e *endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		m := copy(p[n:], e.piece[e.read%len(e.piece):])
		n += m
		e.read += m
	}
	return n, nil
}

func TestBombs(t *testing.T) {
	skipped := append(binary.LittleEndian.AppendUint32(nil, 0x184d2a50), 0, 2, 0, 0)
	skipped = append(skipped, make([]byte, 512)...)
	zeros := strings.Repeat("\x00", 16<<20)
	once := deflated(t, "gzip", zeros)
	for what, res := range map[string]*http.Response{
		"16 MB in gzip":                          coded(strings.NewReader(once), "gzip"),
		"16 MB in br":                            coded(strings.NewReader(deflated(t, "br", zeros)), "br"),
		"16 MB in zstd":                          coded(strings.NewReader(deflated(t, "zstd", zeros)), "zstd"),
		"16 MB in gzip in gzip":                  coded(strings.NewReader(deflated(t, "gzip", once)), "gzip, gzip"),
		"members that are empty":                 coded(&endless{piece: deflated(t, "gzip", "")}, "gzip"),
		"blocks that are empty":                  coded(io.MultiReader(strings.NewReader(deflated(t, "gzip", "")[:10]), &endless{piece: "\x00\x00\x00\xff\xff"}), "gzip"),
		"frames to be skipped":                   coded(&endless{piece: string(skipped)}, "zstd"),
		"frames that are empty":                  coded(&endless{piece: "\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00"}, "zstd"),
		"brotli's metadata":                      coded(io.MultiReader(strings.NewReader("\x0c"), &endless{piece: "\x0d\x00\x00"}), "br"),
		"empty members in what is never large":   coded(strings.NewReader(deflated(t, "gzip", strings.Repeat(deflated(t, "gzip", ""), 500_000))), "gzip, gzip"),
		"a frame with a window of two gigabytes": coded(strings.NewReader("\x28\xb5\x2f\xfd\x00\xa8"+strings.Repeat("x", 100)), "zstd"),
		"a frame of 2^60 bytes":                  coded(strings.NewReader("\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x00\x00\x00\x10\x01\x00\x00"), "zstd"),
		"a large window of brotli":               coded(strings.NewReader("\x11\x1e"+strings.Repeat("x", 100)), "br"),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := content(res)
		runtime.ReadMemStats(&after)
		require.Error(t, err, what)
		assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(24<<20), what)
	}
}

func TestAsMuchAsIsAllowedIsRead(t *testing.T) {
	for _, coding := range everyCoding {
		_, err := content(coded(strings.NewReader(deflated(t, coding, strings.Repeat("x", maxPart))), coding))
		require.NoError(t, err, coding)
		_, err = content(coded(strings.NewReader(deflated(t, coding, strings.Repeat("x", maxPart+1))), coding))
		require.ErrorIs(t, err, errTooLarge, coding)
	}
	random := make([]byte, maxPart+1)
	_, err := rand.NewChaCha8([32]byte{}).Read(random)
	require.NoError(t, err)
	for _, coding := range everyCoding {
		_, err := content(coded(strings.NewReader(deflated(t, coding, string(random))), coding))
		require.ErrorIs(t, err, errTooLarge, coding)
	}
}

func TestABodyThatBreaksSaysWhyAndNotThatItsCodingIsWrong(t *testing.T) {
	for _, coding := range everyCoding {
		whole := deflated(t, coding, strings.Repeat("tea and milk, ", 50))
		for n := range len(whole) {
			dies := io.MultiReader(strings.NewReader(whole[:n]), iotest.ErrReader(context.DeadlineExceeded))
			_, err := content(coded(dies, coding))
			require.ErrorIs(t, err, context.DeadlineExceeded, "%s after %d bytes", coding, n)
			assert.Equal(t, 504, gateway.ProblemOf(err).Status)
		}
		// All that a decoder needs is there, but the body goes on and then breaks.
		_, err := content(coded(io.MultiReader(strings.NewReader(whole), iotest.ErrReader(errReset)), coding))
		require.ErrorIs(t, err, errReset, coding)
	}
}

var errReset = errors.New("connection reset by peer")

func TestInflatersThatFailedAreNotUsedAgain(t *testing.T) {
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 50 {
				coding := everyCoding[(worker+i)%len(everyCoding)]
				text := strings.Repeat(coding, 1000+i)
				whole := deflated(t, coding, text)
				_, err := content(coded(strings.NewReader(whole[:len(whole)/2]), coding))
				assert.Error(t, err)
				got, err := content(coded(strings.NewReader(whole), coding))
				assert.NoError(t, err)
				assert.Equal(t, text, got)
				r, err := inflated(coded(strings.NewReader(whole), coding))
				assert.NoError(t, err)
				_, err = r.Read(make([]byte, 10)) // and is then abandoned
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()
}

func TestNothingIsReadBehindTheEndOfABody(t *testing.T) {
	for _, coding := range everyCoding {
		r, err := inflated(coded(strings.NewReader(deflated(t, coding, "tea")), coding))
		require.NoError(t, err)
		_, err = io.ReadAll(r)
		require.NoError(t, err)
		other, err := inflated(coded(strings.NewReader(deflated(t, coding, "milk")), coding))
		require.NoError(t, err)
		n, err := r.Read(make([]byte, 10)) // the inflater may be other's by now
		assert.Zero(t, n)
		assert.Equal(t, io.EOF, err)
		got, err := io.ReadAll(other)
		require.NoError(t, err)
		assert.Equal(t, "milk", string(got))
	}
}

func TestPartsAskForCompressionIfTheProgramSaysSo(t *testing.T) {
	var asked []string
	backend := gateway.Local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("Accept-Encoding"))
		if coding := r.Header.Get("Accept-Encoding"); coding != "" {
			w.Header().Set("Content-Encoding", coding)
			_, _ = io.WriteString(w, deflated(t, coding, `{"n":1.0}`))
			return
		}
		_, _ = io.WriteString(w, `{"n":1.0}`)
	}))
	for _, coding := range []string{"", "gzip", "br", "zstd"} {
		part := Get("a", backend, "/")
		if coding != "" {
			part = part.Header("Accept-Encoding", coding)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Encoding", "deflate") // what the client can read is its own affair
		w := httptest.NewRecorder()
		New(part).ServeHTTP(w, r)
		assert.Equal(t, `{"a":{"n":1.0}}`, w.Body.String())
		assert.Empty(t, w.Header().Get("Content-Encoding"))
	}
	assert.Equal(t, []string{"", "gzip", "br", "zstd"}, asked)
}

func FuzzInflated(f *testing.F) {
	for _, coding := range everyCoding {
		f.Add([]byte(deflated(f, coding, "tea and milk, tea and milk")), coding)
		f.Add([]byte(deflated(f, coding, "tea")+deflated(f, coding, "milk")), coding)
	}
	f.Add([]byte(deflated(f, "gzip", deflated(f, "br", "[1]"))), "br,gzip")
	f.Add([]byte("[1]"), "")
	f.Fuzz(func(t *testing.T, body []byte, field string) {
		got, err := content(coded(bytes.NewReader(body), field))
		if err == nil && len(got) > maxPart {
			t.Fatalf("%d bytes came out", len(got))
		}
		again, errAgain := content(coded(iotest.HalfReader(bytes.NewReader(body)), field))
		if (err == nil) != (errAgain == nil) || err == nil && got != again {
			t.Fatalf("%q, then %q: %v, then %v", got, again, err, errAgain)
		}
		if field != "gzip" {
			return
		}
		// The standard library's decoder is the judge, but for what is larger than allowed.
		var want []byte
		r, errWant := stdgzip.NewReader(bytes.NewReader(body))
		if errWant == nil {
			want, errWant = io.ReadAll(io.LimitReader(r, maxPart+1))
		}
		if len(want) <= maxPart && len(body) <= maxPart && ((errWant == nil) != (err == nil) || err == nil && got != string(want)) {
			t.Fatalf("%q and not %q: %v, %v", got, want, err, errWant)
		}
	})
}

func BenchmarkInflated(b *testing.B) {
	text := strings.Repeat(`{"user":"u-42","orders":[{"id":1000,"state":"shipped","total":7.95}]}`, 15)
	for _, coding := range []string{"", "gzip", "br", "zstd"} {
		body := deflated(b, coding, text)
		b.Run("coding="+coding, func(b *testing.B) {
			b.ReportAllocs()
			buffer := make([]byte, 0, 8<<10)
			for b.Loop() {
				r, err := inflated(coded(strings.NewReader(body), coding))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := readAll(buffer, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
