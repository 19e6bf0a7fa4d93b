package balancer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/gatewright/gateway"
)

// outcome is what an attempt says about its endpoint.
type outcome uint8

const (
	success  outcome = iota
	ignored          // says nothing about the endpoint
	overload         // it has too much to do, which is no reason to give its load to the others
	failure
)

// replay is under which condition a request may be sent again.
type replay uint8

const (
	never     replay = iota
	safely           // if it is idempotent
	elsewhere        // if it is idempotent, and to another endpoint only
	unsent           // always: nothing of it was sent
)

// verdict is the judgement on an attempt.
type verdict struct {
	outcome outcome
	replay  replay
}

// judge is the one place where an attempt becomes a verdict. Breakers and retries go
// by it, so that they never disagree.
func judge(res *http.Response, problem *gateway.Problem) verdict {
	if problem != nil {
		return judgeFault(problem.Fault)
	}
	switch code := res.StatusCode; {
	case code == http.StatusTooManyRequests:
		return verdict{overload, never}
	case code == http.StatusServiceUnavailable && res.Header.Get("Retry-After") != "":
		return verdict{overload, elsewhere}
	case code == http.StatusBadGateway, code == http.StatusServiceUnavailable, code == http.StatusGatewayTimeout:
		return verdict{failure, safely}
	case code == http.StatusNotImplemented, code == http.StatusHTTPVersionNotSupported:
		return verdict{success, never} // it is the request that asks for too much
	case code >= 500:
		return verdict{failure, never}
	}
	return verdict{success, never}
}

func judgeFault(fault gateway.Fault) verdict {
	switch fault {
	case gateway.UpstreamDial, gateway.UpstreamUnavailable:
		return verdict{failure, unsent}
	case gateway.UpstreamWrite, gateway.UpstreamHeader, gateway.UpstreamTimeout:
		return verdict{failure, safely}
	case gateway.UpstreamBody:
		return verdict{failure, never}
	}
	return verdict{ignored, never} // the client's or the gateway's own
}

// blame returns the problem for an error of e on a request with context ctx; rest is
// the fault if the error itself does not tell.
func blame(ctx context.Context, e *Endpoint, err error, rest gateway.Fault) *gateway.Problem {
	cause := fmt.Errorf("%s: %w", e, err)
	// The context is asked and not the error: transports return its cause, which may be any error.
	if ctx.Err() != nil {
		ended := gateway.ProblemOf(ctx.Err())
		ended.Err = cause
		return ended
	}
	if placed := (*gateway.Problem)(nil); errors.As(err, &placed) {
		placed = gateway.ProblemOf(err) // a copy, and complete
		placed.Err = cause
		return placed
	}
	p := &gateway.Problem{Status: http.StatusBadGateway, Fault: phase(err, rest), Err: cause}
	if p.Fault == gateway.UpstreamTimeout {
		p.Status = http.StatusGatewayTimeout
	}
	return p
}

// phase returns how far an attempt had come when it failed with err.
func phase(err error, rest gateway.Fault) gateway.Fault {
	var op *net.OpError
	var timeout net.Error
	switch {
	case isDial(err):
		return gateway.UpstreamDial
	case errors.As(err, &timeout) && timeout.Timeout():
		return gateway.UpstreamTimeout
	case errors.As(err, &op) && op.Op == "write":
		return gateway.UpstreamWrite
	}
	return rest
}

// isDial reports whether err is one of making the connection, so that nothing of the
// request was sent. An alert of the other side is not: in TLS 1.3 a client's
// certificate is refused only after the request.
func isDial(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	return errors.As(err, &op) && op.Op == "dial" ||
		errors.As(err, &dns) || errors.As(err, &certificate) || errors.As(err, &record)
}
