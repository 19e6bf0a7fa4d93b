package interop

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/balancer"
)

// service answers calls, and tells how long they were given and how they ended.
type service struct {
	pb.UnimplementedTestServiceServer
	limits chan time.Duration
	ended  chan error
}

func newService() *service {
	return &service{limits: make(chan time.Duration, 1), ended: make(chan error, 1)}
}

// UnaryCall echoes payload and metadata, or fails as it is told to.
func (s *service) UnaryCall(ctx context.Context, r *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	if want := r.GetResponseStatus(); want != nil {
		st, err := status.New(codes.Code(want.GetCode()), want.GetMessage()).
			WithDetails(&errdetails.ErrorInfo{Reason: "SOLD_OUT", Domain: "shop.test"})
		if err != nil {
			return nil, err
		}
		return nil, st.Err()
	}
	if md, _ := metadata.FromIncomingContext(ctx); len(md.Get("echo-bin")) > 0 {
		_ = grpc.SetHeader(ctx, metadata.Pairs("echo-bin", md.Get("echo-bin")[0]))
		_ = grpc.SetTrailer(ctx, metadata.Pairs("echo-trailer-bin", md.Get("echo-bin")[0]))
	}
	return &pb.SimpleResponse{Payload: r.GetPayload()}, nil
}

// StreamingOutputCall sends as many messages as it is asked for, each as long as it is asked for,
// and fails after them if that is wanted.
func (s *service) StreamingOutputCall(r *pb.StreamingOutputCallRequest, out grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	for _, p := range r.GetResponseParameters() {
		if err := out.Send(&pb.StreamingOutputCallResponse{Payload: payload(int(p.GetSize()))}); err != nil {
			return err
		}
	}
	if want := r.GetResponseStatus(); want != nil {
		return status.Error(codes.Code(want.GetCode()), want.GetMessage())
	}
	return nil
}

// StreamingInputCall adds up the lengths of what it gets.
func (s *service) StreamingInputCall(in grpc.ClientStreamingServer[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) error {
	sum := 0
	for {
		r, err := in.Recv()
		if err == io.EOF {
			return in.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: int32(sum)})
		}
		if err != nil {
			return err
		}
		sum += len(r.GetPayload().GetBody())
	}
}

// FullDuplexCall answers each message with the same, before the next one is there.
func (s *service) FullDuplexCall(both grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error {
	for {
		r, err := both.Recv()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = both.Send(&pb.StreamingOutputCallResponse{Payload: r.GetPayload()})
		}
		if err != nil {
			s.ended <- context.Cause(both.Context())
			return err
		}
	}
}

// EmptyCall hangs until its client gives up.
func (s *service) EmptyCall(ctx context.Context, _ *pb.Empty) (*pb.Empty, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return nil, status.Error(codes.FailedPrecondition, "no deadline has come through")
	}
	s.limits <- time.Until(deadline)
	<-ctx.Done()
	s.ended <- ctx.Err()
	return nil, ctx.Err()
}

func payload(n int) *pb.Payload { return &pb.Payload{Body: bytes.Repeat([]byte("x"), n)} }

// dial puts a gateway on a socket before the pool, and returns a client of it.
func dial(t *testing.T, p *balancer.Pool) pb.TestServiceClient {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	front := &http.Server{Handler: gateway.Proxy(p), Protocols: protocols, ReadHeaderTimeout: patience}
	var served sync.WaitGroup
	served.Go(func() { assert.ErrorIs(t, front.Serve(l), http.ErrServerClosed) })
	t.Cleanup(func() {
		front.Close()
		served.Wait()
	})
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return pb.NewTestServiceClient(conn)
}

// overEach runs a test for each way in which the gateway talks to the server.
func overEach(t *testing.T, test func(t *testing.T, s *service, client pb.TestServiceClient)) {
	t.Helper()
	for name, w := range wires(t) {
		t.Run(name, func(t *testing.T) {
			s := newService()
			target := w.start(t, func(g *grpc.Server) { pb.RegisterTestServiceServer(g, s) })
			test(t, s, dial(t, newPool(t, balancer.Config{Targets: []string{target}, TLS: w.client})))
		})
	}
}

func TestUnaryCallsPassWithTheirMetadata(t *testing.T) {
	overEach(t, func(t *testing.T, _ *service, client pb.TestServiceClient) {
		for _, size := range []int{0, 1, 1 << 20} {
			for _, options := range [][]grpc.CallOption{nil, {grpc.UseCompressor(gzip.Name)}} {
				raw := "\x00\xff\x80 any, \r\n"
				ctx := metadata.AppendToOutgoingContext(within(t), "echo-bin", raw)
				var header, trailer metadata.MD
				options = append(options, grpc.Header(&header), grpc.Trailer(&trailer))
				res, err := client.UnaryCall(ctx, &pb.SimpleRequest{Payload: payload(size)}, options...)
				require.NoError(t, err)
				assert.Len(t, res.GetPayload().GetBody(), size)
				assert.Equal(t, []string{raw}, header.Get("echo-bin"))
				assert.Equal(t, []string{raw}, trailer.Get("echo-trailer-bin"))
			}
		}
	})
}

// An error before the first message is a response of a header only: grpc-status is in it.
func TestErrorsPassWithTheirDetails(t *testing.T) {
	overEach(t, func(t *testing.T, _ *service, client pb.TestServiceClient) {
		message := "sold out: Käse, 100 %\n\t☺"
		for _, code := range []codes.Code{codes.NotFound, codes.Unavailable, codes.Internal, codes.ResourceExhausted} {
			_, err := client.UnaryCall(within(t), &pb.SimpleRequest{
				ResponseStatus: &pb.EchoStatus{Code: int32(code), Message: message},
			})
			st := status.Convert(err)
			assert.Equal(t, code, st.Code())
			assert.Equal(t, message, st.Message())
			require.Len(t, st.Details(), 1)
			info, ok := st.Details()[0].(*errdetails.ErrorInfo)
			require.True(t, ok)
			assert.Equal(t, "SOLD_OUT", info.GetReason())
		}
		_, err := client.UnimplementedCall(within(t), &pb.Empty{})
		assert.Equal(t, codes.Unimplemented, status.Code(err))
	})
}

func TestServerStreamsPass(t *testing.T) {
	overEach(t, func(t *testing.T, _ *service, client pb.TestServiceClient) {
		sizes := []int32{31415, 0, 9, 2653, 500_000, 58979}
		r := &pb.StreamingOutputCallRequest{ResponseStatus: &pb.EchoStatus{Code: int32(codes.DataLoss), Message: "then it broke"}}
		for _, n := range sizes {
			r.ResponseParameters = append(r.ResponseParameters, &pb.ResponseParameters{Size: n})
		}
		stream, err := client.StreamingOutputCall(within(t), r)
		require.NoError(t, err)
		for _, n := range sizes {
			res, err := stream.Recv()
			require.NoError(t, err)
			assert.Len(t, res.GetPayload().GetBody(), int(n))
		}
		_, err = stream.Recv()
		assert.Equal(t, codes.DataLoss, status.Code(err), "the trailers of a stream with messages")
		assert.Equal(t, "then it broke", status.Convert(err).Message())
	})
}

func TestClientStreamsPass(t *testing.T) {
	overEach(t, func(t *testing.T, _ *service, client pb.TestServiceClient) {
		stream, err := client.StreamingInputCall(within(t))
		require.NoError(t, err)
		for range 20 {
			require.NoError(t, stream.Send(&pb.StreamingInputCallRequest{Payload: payload(100_000)}))
		}
		res, err := stream.CloseAndRecv()
		require.NoError(t, err)
		assert.EqualValues(t, 2_000_000, res.GetAggregatedPayloadSize())
	})
}

// Each message waits for the answer to the one before: a gateway that held any of them back
// would hang.
func TestMessagesGoBothWaysAtOnce(t *testing.T) {
	overEach(t, func(t *testing.T, _ *service, client pb.TestServiceClient) {
		stream, err := client.FullDuplexCall(within(t))
		require.NoError(t, err)
		for n := range 50 {
			require.NoError(t, stream.Send(&pb.StreamingOutputCallRequest{Payload: payload(n * 1000)}))
			res, err := stream.Recv()
			require.NoError(t, err)
			assert.Len(t, res.GetPayload().GetBody(), n*1000)
		}
		require.NoError(t, stream.CloseSend())
		_, err = stream.Recv()
		assert.Equal(t, io.EOF, err)
	})
}

func TestACancelledCallEndsAtTheServer(t *testing.T) {
	overEach(t, func(t *testing.T, s *service, client pb.TestServiceClient) {
		ctx, cancel := context.WithCancel(within(t))
		stream, err := client.FullDuplexCall(ctx)
		require.NoError(t, err)
		require.NoError(t, stream.Send(&pb.StreamingOutputCallRequest{Payload: payload(1)}))
		_, err = stream.Recv()
		require.NoError(t, err)
		cancel()
		_, err = stream.Recv()
		assert.Equal(t, codes.Canceled, status.Code(err))
		select {
		case err := <-s.ended:
			assert.ErrorIs(t, err, context.Canceled)
		case <-within(t).Done():
			assert.Fail(t, "the server does not know")
		}
	})
}

func TestADeadlineReachesTheServer(t *testing.T) {
	overEach(t, func(t *testing.T, s *service, client pb.TestServiceClient) {
		const limit = 200 * time.Millisecond
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		_, err := client.EmptyCall(ctx, &pb.Empty{})
		assert.Equal(t, codes.DeadlineExceeded, status.Code(err))
		select {
		case left := <-s.limits:
			assert.LessOrEqual(t, left, limit)
			require.Error(t, <-s.ended)
		case <-within(t).Done():
			assert.Fail(t, "the call has not come through")
		}
	})
}

func TestManyCallsShareAConnection(t *testing.T) {
	overEach(t, func(t *testing.T, _ *service, client pb.TestServiceClient) {
		var all sync.WaitGroup
		for n := range 200 {
			all.Go(func() {
				res, err := client.UnaryCall(within(t), &pb.SimpleRequest{Payload: payload(n)})
				if assert.NoError(t, err) {
					assert.Len(t, res.GetPayload().GetBody(), n)
				}
			})
		}
		all.Wait()
	})
}

// What gRPC calls an error is an answer to HTTP: it says nothing against the server that gave it.
func TestGRPCErrorsEjectNobody(t *testing.T) {
	w := wires(t)["h2c"]
	s := newService()
	targets := make([]string, 2)
	for i := range targets {
		targets[i] = w.start(t, func(g *grpc.Server) { pb.RegisterTestServiceServer(g, s) })
	}
	p := newPool(t, balancer.Config{Targets: targets})
	client := dial(t, p)
	for range 50 {
		_, err := client.UnaryCall(within(t), &pb.SimpleRequest{ResponseStatus: &pb.EchoStatus{Code: int32(codes.NotFound)}})
		require.Equal(t, codes.NotFound, status.Code(err))
	}
	for _, e := range p.Snapshot().Endpoints {
		assert.True(t, e.Ready, e.Why)
		assert.Zero(t, e.Failures)
		assert.Positive(t, e.Attempts)
	}
}

// The gateway's own errors are problem documents, which a gRPC client maps by their status.
func TestADeadBackendIsUnavailableToAGRPCClient(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l.Close()
	client := dial(t, newPool(t, balancer.Config{Targets: []string{"h2c://" + l.Addr().String()}}))
	_, err = client.UnaryCall(within(t), &pb.SimpleRequest{})
	assert.Equal(t, codes.Unavailable, status.Code(err))
	assert.NotContains(t, fmt.Sprint(err), strings.Split(l.Addr().String(), ":")[1], "the client need not know where")
}
