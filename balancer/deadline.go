package balancer

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gatewright/gateway"
)

// Deadline tells backends how much time there is left, if the request's context has a
// deadline, so that they do not work on what nobody waits for. And a request that will
// not make it is answered with 504 at once: one with less time than half of the pool's
// responses take.
type Deadline struct {
	// Header is the field that the remaining time goes into, in milliseconds. The value
	// of Grpc-Timeout is written as gRPC does. Empty means none, and no such answers.
	Header string

	// Margin is kept back, for the way. Zero means 5 ms.
	Margin time.Duration
}

// leastTime is what there must be left for a request to be sent at all.
const leastTime = time.Millisecond

var errNoTime = errors.New("too little time is left")

// late returns the problem of a request that cannot be answered in time, or nil.
func (p *Pool) late(ctx context.Context) *gateway.Problem {
	deadline, ok := ctx.Deadline()
	if !ok {
		return nil
	}
	need := leastTime
	if p.deadline.Header != "" {
		need = max(need, p.durations.quantile(0.5, p.clock.now()))
	}
	if time.Until(deadline) >= need {
		return nil
	}
	return &gateway.Problem{Status: http.StatusGatewayTimeout, Fault: gateway.UpstreamTimeout, Err: errNoTime}
}

// tell writes the remaining time into h.
func (d *Deadline) tell(ctx context.Context, h http.Header) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return
	}
	left := max(1, (time.Until(deadline) - d.Margin).Milliseconds())
	value := strconv.FormatInt(left, 10)
	if d.Header == "Grpc-Timeout" {
		value = grpcTimeout(left)
	}
	h[d.Header] = []string{value}
}

// grpcTimeout has at most eight digits, as gRPC's specification wants it.
func grpcTimeout(ms int64) string {
	if ms < 1e8 {
		return strconv.FormatInt(ms, 10) + "m"
	}
	return strconv.FormatInt(min(ms/1000, 1e8-1), 10) + "S"
}
