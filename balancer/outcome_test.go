package balancer_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/balancer"
)

func TestAnErrorOfTheTransportBecomesAProblem(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
		fault  gateway.Fault
	}{
		"refused":              {refused, 502, gateway.UpstreamDial},
		"dialing took long":    {&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, 502, gateway.UpstreamDial},
		"no such name":         {fmt.Errorf("wrapped: %w", &net.DNSError{IsNotFound: true}), 502, gateway.UpstreamDial},
		"broken pipe":          {&net.OpError{Op: "write", Err: syscall.EPIPE}, 502, gateway.UpstreamWrite},
		"reset":                {reset, 502, gateway.UpstreamHeader},
		"its own deadline":     {context.DeadlineExceeded, 504, gateway.UpstreamTimeout},
		"a read that is late":  {&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, 504, gateway.UpstreamTimeout},
		"its own cancellation": {context.Canceled, 502, gateway.UpstreamHeader},
		"placed already":       {&gateway.Problem{Status: 429}, 429, gateway.ClientRequest},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, balancer.Config{
				Targets: []string{"http://a"}, Retry: balancer.Retry{Attempts: 1},
				Base: tripper(func(*http.Request) (*http.Response, error) { return nil, c.err }),
			})
			_, problem := get(t, p)
			require.NotNil(t, problem)
			assert.Equal(t, c.status, problem.Status)
			assert.Equal(t, c.fault, problem.Fault)
			assert.ErrorIs(t, problem, c.err)
			assert.ErrorContains(t, problem.Err, "http://a")
		})
	}
}
