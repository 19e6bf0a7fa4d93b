package balancer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// The protocol is that of github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, and of
// grpc.health.v1: a message with one string goes out and one with one enum comes back,
// which is not worth a dependency.
const grpcCheck = "/grpc.health.v1.Health/Check"

// checkTransport returns a fault for each of targets that cannot be asked by GRPC.
func (h *Health) checkTransport(targets []Target, base http.RoundTripper) (faults []error) {
	if !h.GRPC || base != nil {
		return nil
	}
	for i, t := range targets {
		if u, err := t.parse(); err == nil && u.Scheme == "http" {
			faults = append(faults, fmt.Errorf("balancer: target %d: %q is HTTP/1.1, Health.GRPC needs h2c or https", i+1, t.URL))
		}
	}
	return faults
}

var errNoHTTP2 = errors.New("gRPC needs HTTP/2, so a target whose scheme is h2c or https")

// askGRPC passes an endpoint that says it is SERVING.
func (k *checker) askGRPC(ctx context.Context, e *Endpoint) error {
	if k.pool.own != nil && e.base.Scheme == "http" { // a Resolver has said so
		return errNoHTTP2
	}
	message := grpcQuestion(k.Service)
	r := k.request(ctx, e, http.MethodPost, http.Header{
		"Content-Type": {"application/grpc"},
		"Te":           {"trailers"},
		"Grpc-Timeout": {grpcTimeout(max(1, k.Timeout.Milliseconds()))},
	})
	r.ContentLength = int64(len(message))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(message)), nil }
	r.Body, _ = r.GetBody()
	res, err := k.exchange(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	return grpcAnswer(res)
}

// grpcPrefix is that of a message: a byte that says whether it is compressed, and its length.
const grpcPrefix = 5

// grpcQuestion is a HealthCheckRequest about a service, which is its field 1.
func grpcQuestion(service string) []byte {
	b := make([]byte, grpcPrefix, grpcPrefix+1+binary.MaxVarintLen64+len(service))
	if service != "" {
		b = append(b, 1<<3|wireBytes)
		b = binary.AppendUvarint(b, uint64(len(service)))
		b = append(b, service...)
	}
	binary.BigEndian.PutUint32(b[1:], uint32(len(b)-grpcPrefix))
	return b
}

// grpcAnswer returns nil if res says SERVING, and otherwise what it says.
func grpcAnswer(res *http.Response) error {
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	kind := res.Header.Get("Content-Type")
	if rest, ok := strings.CutPrefix(kind, "application/grpc"); !ok || rest != "" && rest[0] != '+' && rest[0] != ';' {
		return fmt.Errorf("content type %q is not that of gRPC", shorten(kind))
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxHealthBody+1)) // to its end, behind which are the trailers
	if err != nil {
		return err
	}
	if len(body) > maxHealthBody {
		return errors.New("the answer is too long")
	}
	if err := grpcStatus(res); err != nil {
		return err
	}
	return servingStatus(body)
}

// grpcStatus returns the error that res tells: in its trailers, or in its header if there is
// nothing else to it.
func grpcStatus(res *http.Response) error {
	from := res.Trailer
	if from.Get("Grpc-Status") == "" {
		from = res.Header
	}
	switch code := from.Get("Grpc-Status"); code {
	case "0":
		return nil
	case "":
		return errors.New("no grpc-status")
	default:
		message := from.Get("Grpc-Message")
		if plain, err := url.PathUnescape(message); err == nil {
			message = plain
		}
		return fmt.Errorf("grpc-status %s: %q", shorten(code), shorten(message))
	}
}

// shorten makes what came from outside fit for a log.
func shorten(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// servingNames are the values of HealthCheckResponse.ServingStatus.
var servingNames = []string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}

const serving = 1

// servingStatus reads a body with one HealthCheckResponse in it.
func servingStatus(body []byte) error {
	switch {
	case len(body) < grpcPrefix || uint64(binary.BigEndian.Uint32(body[1:])) != uint64(len(body)-grpcPrefix):
		return errors.New("the answer is not one message")
	case body[0] != 0:
		return errors.New("the answer is compressed")
	}
	status, err := firstField(body[grpcPrefix:])
	switch {
	case err != nil:
		return err
	case status == serving:
		return nil
	case status < uint64(len(servingNames)):
		return errors.New(servingNames[status])
	}
	return fmt.Errorf("serving status %d", status)
}

// Wire types of protocol buffers.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

var errProto = errors.New("the answer is not a protocol buffer")

// firstField returns the number in field 1 of a message: the last of them if there are
// several, as the format has it, and 0 if there is none. Other fields are skipped.
func firstField(message []byte) (value uint64, err error) {
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		if n <= 0 || tag>>3 == 0 {
			return 0, errProto
		}
		message = message[n:]
		var size uint64
		switch tag & 7 {
		case wireVarint:
			v, n := binary.Uvarint(message)
			if n <= 0 {
				return 0, errProto
			}
			if tag>>3 == 1 {
				value = v
			}
			size = uint64(n)
		case wireFixed64:
			size = 8
		case wireFixed32:
			size = 4
		case wireBytes:
			length, n := binary.Uvarint(message)
			if n <= 0 {
				return 0, errProto
			}
			message, size = message[n:], length
		default:
			return 0, errProto
		}
		if size > uint64(len(message)) {
			return 0, errProto
		}
		message = message[size:]
	}
	return value, nil
}
