package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gatewright/gateway"
)

const (
	defaultServiceTimeout = 5 * time.Second
	maxReply              = 64 << 10 // bytes of what a service says, and of its header
)

// service is another server, which is asked about requests. A redirect is not
// followed: whoever could make it send one would have the credentials.
type service struct {
	url       string
	transport http.RoundTripper
	timeout   time.Duration
}

func newService(address string, transport http.RoundTripper, timeout time.Duration) (service, error) {
	var faults []error
	if err := checkURL(address); err != nil {
		faults = append(faults, fmt.Errorf("URL: %w", err))
	}
	switch {
	case timeout < 0:
		faults = append(faults, errors.New("negative Timeout"))
	case timeout == 0:
		timeout = defaultServiceTimeout
	}
	if transport == nil {
		transport = newServiceTransport(timeout)
	} else if err := checkTransport(transport); err != nil {
		faults = append(faults, fmt.Errorf("Transport: %w", err))
	}
	return service{address, transport, timeout}, errors.Join(faults...)
}

// newServiceTransport returns a transport that is nobody else's, and that no variable of
// the environment sends by a proxy. It does not ask for compression, so what is read is
// not longer than what was sent. Idle connections close by themselves.
func newServiceTransport(timeout time.Duration) http.RoundTripper {
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: timeout}).DialContext,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    timeout,
		MaxResponseHeaderBytes: maxReply,
		MaxIdleConnsPerHost:    32,
		IdleConnTimeout:        30 * time.Second,
		DisableCompression:     true,
	}
}

// ask sends r, whose context has the deadline. Its errors are a [gateway.Problem].
func (s service) ask(r *http.Request) (*http.Response, error) {
	response, err := s.transport.RoundTrip(r)
	switch {
	case err != nil:
		return nil, misheard(r.Context(), err)
	case response == nil || response.Body == nil:
		return nil, gateway.UpstreamProblem(errors.New("no response and no error"))
	}
	return response, nil
}

// read returns the content of an answer to a request with context ctx, whole, if it is not
// longer than limit.
func read(ctx context.Context, response *http.Response, limit int64) ([]byte, error) {
	defer response.Body.Close()
	for _, coding := range response.Header["Content-Encoding"] {
		if !strings.EqualFold(coding, "identity") {
			return nil, garbled(errors.New("the content is encoded, and nobody asked for that"))
		}
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	switch {
	case ctx.Err() != nil:
		return nil, misheard(ctx, err)
	case err != nil:
		return nil, garbled(err)
	case int64(len(body)) > limit:
		return nil, garbled(fmt.Errorf("the content is longer than %d bytes", limit))
	}
	return body, nil
}

// drain leaves the content unread, but keeps the connection if that costs little.
func drain(response *http.Response) {
	if n := response.ContentLength; 0 < n && n <= maxReply {
		_, _ = io.CopyN(io.Discard, response.Body, n) // one that breaks off is not kept
	}
	response.Body.Close()
}

// misheard asks the context, and not the error: a transport may return its cause.
func misheard(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return gateway.UpstreamProblem(err)
}

func garbled(err error) error {
	return &gateway.Problem{Status: http.StatusBadGateway, Fault: gateway.UpstreamBody, Err: err}
}
