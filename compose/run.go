package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gatewright/gateway"
)

// maxPart is how large a part's body may be.
const maxPart = 1 << 20

// result is what became of a part.
type result struct {
	json []byte // nil: there is none
	err  error  // of a part that failed, whether or not it has a default
}

// run fetches every part, each as soon as those it waits for are there, and returns
// when all have ended or a required one has failed. When ctx ends, so do the calls, and
// with them every goroutine, which may be a moment after run has returned.
func run(ctx context.Context, plan []step, r *http.Request) ([]result, error) {
	results := make([]result, len(plan))
	ended := make([]chan struct{}, len(plan))
	for i := range ended {
		ended[i] = make(chan struct{})
	}
	failed := make(chan struct{}, len(plan))
	for i := range plan {
		go func() {
			for _, j := range plan[i].after {
				<-ended[j]
			}
			json, err := plan[i].fetch(ctx, r, func(name string) []byte {
				for j := range plan {
					if plan[j].name == name {
						return results[j].json
					}
				}
				return nil
			})
			results[i] = plan[i].settle(json, err)
			close(ended[i])
			if results[i].json == nil && !plan[i].optional {
				failed <- struct{}{}
			}
		}()
	}
	for i := range ended {
		select {
		case <-ended[i]:
		case <-failed:
			return nil, firstFailure(plan, results, ended)
		}
	}
	return results, firstFailure(plan, results, ended)
}

// firstFailure returns the failure of a required part: of those that have ended, the
// first declared, whichever was the first to fail.
func firstFailure(plan []step, results []result, ended []chan struct{}) error {
	for i := range plan {
		select {
		case <-ended[i]:
			if results[i].json == nil && !plan[i].optional {
				return results[i].err
			}
		default:
		}
	}
	return nil
}

// settle says what a part contributes, given how its call ended.
func (s *step) settle(json []byte, err error) result {
	if err != nil {
		return result{json: s.fallback, err: err}
	}
	return result{json: json}
}

// fetch returns the part's JSON, or a *gateway.Problem.
func (s *step) fetch(ctx context.Context, r *http.Request, part func(string) []byte) (json []byte, err error) {
	defer func() {
		// A panic on this goroutine would end the process, http.ErrAbortHandler too.
		if v := recover(); v != nil {
			json, err = nil, s.failure(fmt.Errorf("panic: %v", v), gateway.GatewayInternal)
		}
	}()
	if s.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.timeout)
		defer cancel()
	}
	req, err := s.request(ctx, r, part)
	if err != nil {
		return nil, s.failure(err, gateway.GatewayInternal)
	}
	res, err := s.from.RoundTrip(req)
	if err != nil {
		return nil, s.failure(gateway.UpstreamProblem(err), gateway.UpstreamHeader)
	}
	defer res.Body.Close()
	if err := checkResponse(res); err != nil {
		return nil, s.failure(err, gateway.UpstreamHeader)
	}
	json, err = readJSON(res)
	if err != nil {
		return nil, s.failure(err, gateway.UpstreamBody)
	}
	return json, nil
}

// passed are the fields of the client's request that go to every part: they say
// which request it is, and nothing about who sent it.
var passed = []string{"X-Request-Id", "Traceparent", "Tracestate"}

func (s *step) request(ctx context.Context, r *http.Request, part func(string) []byte) (*http.Request, error) {
	u, err := s.template.fill(r, part)
	if err != nil {
		return nil, err
	}
	h := make(http.Header, len(passed)+1)
	h.Set("Accept", "application/json")
	for _, name := range passed {
		if v, ok := r.Header[name]; ok {
			h[name] = v[:len(v):len(v)]
		}
	}
	req := &http.Request{
		Method: http.MethodGet, URL: u, Header: h,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	return req.WithContext(ctx), nil
}

// checkResponse refuses a status that is not of success, by what the whole should say then.
func checkResponse(res *http.Response) error {
	status := http.StatusBadGateway
	switch code := res.StatusCode; code {
	case http.StatusForbidden, http.StatusNotFound, http.StatusGone, http.StatusGatewayTimeout:
		status = code
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		status = http.StatusServiceUnavailable
	default:
		if code >= 200 && code <= 299 {
			if enc := res.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
				return fmt.Errorf("content coding %q was not asked for", enc)
			}
			return nil
		}
	}
	p := &gateway.Problem{Status: status, Fault: gateway.UpstreamStatus, Err: fmt.Errorf("status %d", res.StatusCode)}
	if wait, err := time.ParseDuration(res.Header.Get("Retry-After") + "s"); err == nil && status == http.StatusServiceUnavailable {
		p.RetryAfter = max(0, wait)
	}
	return p
}

var errTooLarge = fmt.Errorf("body is larger than %d bytes", maxPart)

func readJSON(res *http.Response) ([]byte, error) {
	if res.ContentLength > maxPart {
		return nil, errTooLarge
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxPart+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxPart:
		return nil, errTooLarge
	case !validJSON(body):
		return nil, errors.New("body is not JSON in UTF-8")
	}
	return bytes.Trim(body, " \t\r\n"), nil // the white space that JSON allows around a text
}

// failure returns err as the problem of the whole, should this part be required; the
// fault is for an err that says none. It names the part, which the client knows, and
// not the upstream.
func (s *step) failure(err error, fault gateway.Fault) *gateway.Problem {
	p := gateway.ProblemOf(err)
	if p.Fault == gateway.GatewayInternal && fault != gateway.GatewayInternal {
		p.Status, p.Fault = http.StatusBadGateway, fault
	}
	p.Err = fmt.Errorf("part %q: %w", s.name, err)
	if p.Detail == "" {
		p.Detail = fmt.Sprintf("part %q failed", s.name)
	}
	return p
}
