package balancer_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/balancer"
)

// answer is what a gRPC server sends back: a body, then trailers that are there only once it
// was read to its end, as in net/http.
type answer struct {
	status  int
	header  http.Header
	body    io.Reader
	trailer http.Header
}

func (a answer) response() *http.Response {
	res := &http.Response{StatusCode: a.status, Header: a.header}
	res.Body = io.NopCloser(io.MultiReader(a.body, atEnd(func() { res.Trailer = a.trailer })))
	return res
}

// atEnd is a reader of nothing that does something first.
type atEnd func()

func (f atEnd) Read([]byte) (int, error) { f(); return 0, io.EOF }

// says is the answer with a message and a grpc-status in its trailers.
func says(message, code string) answer {
	return answer{
		status: 200, header: http.Header{"Content-Type": {"application/grpc"}},
		body: strings.NewReader(message), trailer: http.Header{"Grpc-Status": {code}},
	}
}

func with(a answer, change func(*answer)) answer {
	change(&a)
	return a
}

const isServing = "\x00\x00\x00\x00\x02\x08\x01"

func TestOnlyAnAnswerThatSaysServingPasses(t *testing.T) {
	header := func(key, value string) func(*answer) {
		return func(a *answer) { a.header.Set(key, value) }
	}
	for name, c := range map[string]struct {
		answer
		fault string
	}{
		"serving":                   {says(isServing, "0"), ""},
		"with a sub-type":           {with(says(isServing, "0"), header("Content-Type", "application/grpc+proto")), ""},
		"with a parameter":          {with(says(isServing, "0"), header("Content-Type", "application/grpc; v=1")), ""},
		"with unknown fields":       {says("\x00\x00\x00\x00\x14\x12\x02hi\x19........\x25....\x08\x01", "0"), ""},
		"padded varint":             {says("\x00\x00\x00\x00\x04\x08\x81\x80\x00", "0"), ""},
		"status in the header":      {with(says(isServing, ""), header("Grpc-Status", "0")), ""},
		"unknown":                   {says("\x00\x00\x00\x00\x02\x08\x00", "0"), "UNKNOWN"},
		"empty is unknown":          {says("\x00\x00\x00\x00\x00", "0"), "UNKNOWN"},
		"not serving":               {says("\x00\x00\x00\x00\x02\x08\x02", "0"), "NOT_SERVING"},
		"unknown service":           {says("\x00\x00\x00\x00\x02\x08\x03", "0"), "SERVICE_UNKNOWN"},
		"no such status":            {says("\x00\x00\x00\x00\x02\x08\x07", "0"), "serving status 7"},
		"the last one counts":       {says("\x00\x00\x00\x00\x04\x08\x01\x08\x02", "0"), "NOT_SERVING"},
		"negative":                  {says("\x00\x00\x00\x00\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "0"), "serving status"},
		"as another field":          {says("\x00\x00\x00\x00\x02\x10\x01", "0"), "UNKNOWN"},
		"as another type":           {says("\x00\x00\x00\x00\x03\x0a\x01\x01", "0"), "UNKNOWN"},
		"an error after all":        {says(isServing, "14"), `grpc-status 14: ""`},
		"an error and why":          {with(says("", "5"), func(a *answer) { a.trailer.Set("Grpc-Message", "no%20such%0Athing") }), `grpc-status 5: "no such\nthing"`},
		"a why that is broken":      {with(says("", "5"), func(a *answer) { a.trailer.Set("Grpc-Message", "100%") }), `grpc-status 5: "100%"`},
		"an endless why":            {with(says("", "5"), func(a *answer) { a.trailer.Set("Grpc-Message", strings.Repeat("x", 9999)) }), `x..."`},
		"an error in trailers only": {with(says("", ""), header("Grpc-Status", "12")), "grpc-status 12"},
		"no status":                 {says(isServing, ""), "no grpc-status"},
		"no message":                {says("", "0"), "not one message"},
		"half a message":            {says(isServing[:6], "0"), "not one message"},
		"two messages":              {says(isServing+isServing, "0"), "not one message"},
		"a huge length":             {says("\x00\xff\xff\xff\xff\x08\x01", "0"), "not one message"},
		"compressed":                {says("\x01"+isServing[1:], "0"), "compressed"},
		"no protocol buffer":        {says("\x00\x00\x00\x00\x02\x0f\x01", "0"), "not a protocol buffer"},
		"a field number 0":          {says("\x00\x00\x00\x00\x02\x00\x01", "0"), "not a protocol buffer"},
		"a field beyond it":         {says("\x00\x00\x00\x00\x02\x12\x7f", "0"), "not a protocol buffer"},
		"a web page":                {with(says("<html>", ""), header("Content-Type", "text/html")), `content type "text/html"`},
		"gRPC-Web":                  {with(says(isServing, "0"), header("Content-Type", "application/grpc-web")), "content type"},
		"a proxy's error":           {with(says(isServing, "0"), func(a *answer) { a.status = 502 }), "status 502"},
		"an endless body":           {with(says("", "0"), func(a *answer) { a.body = endless{} }), "too long"},
		"a body that breaks off":    {with(says("", "0"), func(a *answer) { a.body = io.MultiReader(strings.NewReader(isServing), breaksOff{}) }), "reset"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				events := make(chan balancer.Event, 10)
				p := newPool(t, balancer.Config{
					Targets: []string{"http://a"}, Health: balancer.Health{GRPC: true, Fall: 1}, Panic: -1,
					Base:   tripper(func(*http.Request) (*http.Response, error) { return c.response(), nil }),
					Events: func(e balancer.Event) { events <- e },
				})
				synctest.Wait()
				assert.Equal(t, c.fault == "", p.Endpoints()[0].Ready())
				require.Equal(t, balancer.Added, (<-events).Kind)
				if c.fault != "" {
					assert.ErrorContains(t, (<-events).Err, c.fault)
				}
				assert.Empty(t, events)
			})
		})
	}
}

// breaksOff is a body whose connection is reset.
type breaksOff struct{}

func (breaksOff) Read([]byte) (int, error) { return 0, reset }

func TestAGRPCCheckIsACallOfTheHealthService(t *testing.T) {
	long := strings.Repeat("x", 200)
	for service, want := range map[string]string{
		"":         "\x00\x00\x00\x00\x00",
		"shop.Ord": "\x00\x00\x00\x00\x0a\x0a\x08shop.Ord",
		long:       "\x00\x00\x00\x00\xcb\x0a\xc8\x01" + long,
	} {
		synctest.Test(t, func(t *testing.T) {
			asked := make(chan struct{}, 1)
			newPool(t, balancer.Config{
				Targets: []string{"http://a/grpc"},
				Health:  balancer.Health{GRPC: true, Service: service, Timeout: 1500 * time.Millisecond},
				Base: tripper(func(r *http.Request) (*http.Response, error) {
					body, err := io.ReadAll(r.Body)
					assert.NoError(t, err)
					assert.Equal(t, want, string(body))
					assert.EqualValues(t, len(want), r.ContentLength)
					assert.Equal(t, "POST http://a/grpc/grpc.health.v1.Health/Check", r.Method+" "+r.URL.String())
					assert.Equal(t, http.Header{
						"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "Grpc-Timeout": {"1500m"},
						"User-Agent": {"gatewright-health"},
					}, r.Header)
					again, err := r.GetBody()
					if assert.NoError(t, err) {
						body, _ = io.ReadAll(again)
						assert.Equal(t, want, string(body), "a transport may have to send it again")
					}
					asked <- struct{}{}
					return says(isServing, "0").response(), nil
				}),
			})
			synctest.Wait()
			assert.Len(t, asked, 1)
		})
	}
}

func TestGRPCChecksNeedHTTP2(t *testing.T) {
	c := balancer.Config{Targets: []string{"https://a", "http://b", "h2c://c", "HTTP://d"}, Health: balancer.Health{GRPC: true}}
	_, err := balancer.New(c)
	require.ErrorContains(t, err, `target 2: "http://b" is HTTP/1.1`)
	require.ErrorContains(t, err, "target 4:")
	assert.NotContains(t, err.Error(), "target 1:")
	assert.NotContains(t, err.Error(), "target 3:")

	c.Targets, c.Resolver = nil, balancer.Static{{URL: "http://b"}}
	_, err = balancer.New(c)
	require.ErrorContains(t, err, "target 1:")
}

// A Resolver may say what New has no chance to refuse.
func TestATargetThatTurnsOutToBeHTTP1IsUnhealthyToGRPC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := make(chan balancer.Event, 10)
		newPool(t, balancer.Config{
			Resolver: balancer.ResolverFunc(func(context.Context) ([]balancer.Target, time.Duration, error) {
				return []balancer.Target{{URL: "http://a"}}, time.Hour, nil
			}),
			Health: balancer.Health{GRPC: true, Fall: 1},
			Events: func(e balancer.Event) { events <- e },
		})
		require.Equal(t, balancer.Added, (<-events).Kind)
		e := <-events
		assert.Equal(t, balancer.Unhealthy, e.Kind)
		assert.ErrorContains(t, e.Err, "h2c or https")
	})
}
