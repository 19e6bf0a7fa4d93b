package interop

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/gatewright/gateway/balancer"
)

// watch returns a config whose pool checks target by gRPC, fast, and the events that come of it.
func watch(w wire, target string, h balancer.Health) (balancer.Config, <-chan balancer.Event) {
	h.GRPC, h.Every, h.Fall, h.Rise = true, 10*time.Millisecond, 1, 1
	h.Timeout = patience / 2
	events := make(chan balancer.Event, 100)
	return balancer.Config{
		Targets: []string{target}, TLS: w.client, Health: h, Panic: -1,
		Events: func(e balancer.Event) {
			if e.Kind == balancer.Healthy || e.Kind == balancer.Unhealthy {
				events <- e
			}
		},
	}, events
}

func next(t *testing.T, events <-chan balancer.Event) balancer.Event {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-within(t).Done():
		require.Fail(t, "no event")
		return balancer.Event{}
	}
}

func TestAHealthServiceIsBelieved(t *testing.T) {
	for name, w := range wires(t) {
		t.Run(name, func(t *testing.T) {
			server := health.NewServer()
			server.SetServingStatus("shop.Orders", healthpb.HealthCheckResponse_NOT_SERVING)
			target := w.start(t, func(s *grpc.Server) { healthpb.RegisterHealthServer(s, server) })
			c, events := watch(w, target, balancer.Health{Service: "shop.Orders"})
			p := newPool(t, c)

			e := next(t, events)
			assert.Equal(t, balancer.Unhealthy, e.Kind)
			require.EqualError(t, e.Err, "NOT_SERVING")
			assert.Equal(t, "unhealthy", p.Snapshot().Endpoints[0].Why)

			server.SetServingStatus("shop.Orders", healthpb.HealthCheckResponse_SERVING)
			e = next(t, events)
			assert.Equal(t, balancer.Healthy, e.Kind)
			require.NoError(t, e.Err)
			assert.True(t, p.Endpoints()[0].Ready())

			server.SetServingStatus("shop.Orders", healthpb.HealthCheckResponse_UNKNOWN)
			e = next(t, events)
			assert.Equal(t, balancer.Unhealthy, e.Kind)
			require.EqualError(t, e.Err, "UNKNOWN")
		})
	}
}

// The server as a whole has the empty name; grpc-go says that it serves until it is shut down.
func TestTheServerAsAWholeIsAskedAboutByDefault(t *testing.T) {
	for name, w := range wires(t) {
		t.Run(name, func(t *testing.T) {
			server := health.NewServer()
			target := w.start(t, func(s *grpc.Server) { healthpb.RegisterHealthServer(s, server) })
			c, events := watch(w, target, balancer.Health{})
			p := newPool(t, c)
			server.Shutdown()
			require.EqualError(t, next(t, events).Err, "NOT_SERVING")
			server.Resume()
			assert.Equal(t, balancer.Healthy, next(t, events).Kind)
			assert.True(t, p.Endpoints()[0].Ready())
		})
	}
}

func TestAServiceThatTheServerDoesNotKnowIsUnhealthy(t *testing.T) {
	for name, w := range wires(t) {
		t.Run(name, func(t *testing.T) {
			target := w.start(t, func(s *grpc.Server) { healthpb.RegisterHealthServer(s, health.NewServer()) })
			c, events := watch(w, target, balancer.Health{Service: "nobody"})
			newPool(t, c)
			require.EqualError(t, next(t, events).Err, `grpc-status 5: "unknown service"`)
		})
	}
}

func TestAServerWithoutTheHealthServiceIsUnhealthy(t *testing.T) {
	for name, w := range wires(t) {
		t.Run(name, func(t *testing.T) {
			target := w.start(t, func(*grpc.Server) {})
			c, events := watch(w, target, balancer.Health{})
			newPool(t, c)
			require.EqualError(t, next(t, events).Err, `grpc-status 12: "unknown service grpc.health.v1.Health"`)
		})
	}
}

// grpc-go wants a preface right after the handshake, and gets none.
func TestAGRPCServerTakesTheConnectionsOfTCPChecks(t *testing.T) {
	for name, w := range wires(t) {
		t.Run(name, func(t *testing.T) {
			target := w.start(t, func(*grpc.Server) {})
			c, events := watch(w, target, balancer.Health{})
			c.Health = balancer.Health{TCP: true, Every: time.Millisecond, Fall: 1, Rise: 1, Timeout: patience / 2}
			newPool(t, c)
			select {
			case e := <-events:
				assert.Fail(t, "the server is well", e.Err)
			case <-time.After(100 * time.Millisecond):
			}
		})
	}
}
