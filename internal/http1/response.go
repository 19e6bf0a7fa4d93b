package http1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/field"
)

// A ProtocolError is a response that does not follow RFC 9112, or is larger than what
// is allowed. Nothing can be said of the bytes that follow it.
type ProtocolError struct{ Reason string }

func (e *ProtocolError) Error() string { return "http1: malformed response: " + e.Reason }

var errLong = &ProtocolError{"the header is too large"}

// Limits of a response beside MaxHeaderBytes.
const (
	maxFields  = 1000
	maxInterim = 16
)

// receive reads the response to r, and passes on the interim ones before it.
func (c *conn) receive(r *http.Request) (*http.Response, error) {
	budget := c.t.MaxHeaderBytes
	if budget == 0 {
		budget = defaultMaxHeaderBytes
	}
	for range maxInterim + 1 {
		head, err := c.head(budget)
		if err != nil {
			return nil, err
		}
		budget -= len(head)
		a, err := parseHead(head)
		if err != nil {
			return nil, err
		}
		res := &a.res
		if c.upload != nil {
			c.upload.answered(res.StatusCode)
		}
		if res.StatusCode >= 200 || res.StatusCode == http.StatusSwitchingProtocols {
			res.Request = r
			return res, c.attach(r, a)
		}
		if err := passInterim(r, res); err != nil {
			return nil, err
		}
	}
	return nil, &ProtocolError{"too many interim responses"}
}

func passInterim(r *http.Request, res *http.Response) error {
	if s := exchange.From(r.Context()); s != nil && s.Interim != nil {
		s.Interim(res.StatusCode, res.Header)
		return nil // a trace would report the same to the same
	}
	trace := httptrace.ContextClientTrace(r.Context())
	if trace == nil {
		return nil
	}
	if res.StatusCode == http.StatusContinue && trace.Got100Continue != nil {
		trace.Got100Continue()
	}
	if trace.Got1xxResponse != nil {
		return trace.Got1xxResponse(res.StatusCode, textproto.MIMEHeader(res.Header))
	}
	return nil
}

// head reads a header section, to the empty line and with it. It is one string, of
// which the fields will be parts.
func (c *conn) head(max int) (string, error) {
	scanned := 0
	for {
		buf := c.in.peek()
		for {
			i := bytes.IndexByte(buf[scanned:], '\n')
			if i < 0 {
				break
			}
			i += scanned
			if i == 0 || buf[i-1] != '\r' {
				return "", &ProtocolError{"a line ends without CR"}
			}
			if i-1 == scanned { // an empty line
				if i+1 > max {
					return "", errLong
				}
				head := string(buf[:i+1])
				c.in.skip(i + 1)
				return head, nil
			}
			scanned = i + 1
		}
		if err := c.in.more(max); err != nil {
			if len(buf) > 0 && err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
		c.got = true
	}
}

// answer is a response with what nearly every one needs, in one piece.
type answer struct {
	res    http.Response
	body   body
	values [8]string // of the first fields
}

// parseHead parses a status line and the fields behind it.
func parseHead(head string) (*answer, error) {
	line, fields, _ := strings.Cut(head, "\r\n")
	a := &answer{}
	res := &a.res
	res.ProtoMajor = 1
	switch {
	case len(line) < len("HTTP/1.1 200") || line[:len("HTTP/1.")] != "HTTP/1." || line[8] != ' ':
		return nil, &ProtocolError{"the status line"}
	case line[7] == '1':
		res.Proto, res.ProtoMinor = "HTTP/1.1", 1
	case line[7] == '0':
		res.Proto = "HTTP/1.0"
	default:
		return nil, &ProtocolError{"the version"}
	}
	for _, c := range []byte(line[9:12]) {
		if c < '0' || c > '9' {
			return nil, &ProtocolError{"the status code"}
		}
		res.StatusCode = res.StatusCode*10 + int(c-'0')
	}
	if res.StatusCode < 100 || res.StatusCode > 999 || len(line) > 12 && line[12] != ' ' || !field.IsValue(line) {
		return nil, &ProtocolError{"the status line"}
	}
	res.Status = line[9:]
	var err error
	res.Header, err = parseFields(fields, a.values[:])
	return a, err
}

// parseFields parses field lines up to the empty one (RFC 9112 section 5). Their values
// are kept in slab if it is large enough.
func parseFields(s string, slab []string) (http.Header, error) {
	n := strings.Count(s, "\n") - 1
	if n > maxFields {
		return nil, &ProtocolError{"too many fields"}
	}
	h := make(http.Header, n)
	if n > len(slab) {
		slab = make([]string, n) // all in one piece
	}
	for i := 0; ; i++ {
		line, rest, _ := strings.Cut(s, "\r\n")
		if line == "" {
			return h, nil
		}
		colon := strings.IndexByte(line, ':')
		// Also what begins with white space, which was once a way to fold lines.
		if colon < 0 || !field.IsToken(line[:colon]) {
			return nil, &ProtocolError{"the name of a field"}
		}
		value := strings.Trim(line[colon+1:], " \t")
		if !field.IsValue(value) {
			return nil, &ProtocolError{"the value of a field"}
		}
		name := textproto.CanonicalMIMEHeaderKey(line[:colon])
		if had := h[name]; had != nil {
			h[name] = append(had, value)
		} else {
			slab[i] = value
			h[name] = slab[i : i+1 : i+1]
		}
		s = rest
	}
}

// attach gives res its body, by the rules of RFC 9112 section 6.3.
func (c *conn) attach(r *http.Request, a *answer) error {
	res := &a.res
	chunked, length, err := c.framing(res)
	if err != nil {
		return err
	}
	connection := res.Header["Connection"]
	res.Close = res.ProtoMinor == 0 && !field.HasToken(connection, "keep-alive") || field.HasToken(connection, "close") || r.Close
	if res.StatusCode == http.StatusSwitchingProtocols {
		return c.upgrade(r, res)
	}
	c.keep = !res.Close
	res.ContentLength = length
	b := &a.body
	b.c, b.ctx, b.res, b.left = c, r.Context(), res, length
	switch {
	case r.Method == http.MethodHead, res.StatusCode == http.StatusNoContent, res.StatusCode == http.StatusNotModified:
		// A coding or a length here is of what a GET would have brought.
		if r.Method != http.MethodHead {
			res.ContentLength = 0
		}
		b.kind = none
	case chunked:
		b.kind = inChunks
		b.left = 0
		res.TransferEncoding = []string{"chunked"}
		announce(res)
	case length == 0:
		b.kind = none
	case length > 0:
		b.kind = counted
	default:
		b.kind = untilClose
		c.keep, res.Close = false, true
	}
	delete(res.Header, "Transfer-Encoding")
	if b.kind == none {
		res.Body = http.NoBody
		_ = b.end(io.EOF) // which is what it returns
		return nil
	}
	res.Body = b
	return nil
}

// framing returns how the body of res is delimited. Whatever could be read in two ways
// is refused: that is how responses are smuggled.
func (c *conn) framing(res *http.Response) (chunked bool, length int64, err error) {
	codings, lengths := res.Header["Transfer-Encoding"], res.Header["Content-Length"]
	switch {
	case len(codings) > 0 && len(lengths) > 0:
		return false, 0, &ProtocolError{"both Content-Length and Transfer-Encoding"}
	case len(codings) > 1 || len(codings) == 1 && !strings.EqualFold(codings[0], "chunked"):
		return false, 0, &ProtocolError{"the transfer coding"}
	case len(codings) == 1 && res.ProtoMinor == 0:
		return false, 0, &ProtocolError{"a transfer coding in HTTP/1.0"}
	case len(codings) == 1:
		return true, -1, nil
	case len(lengths) > 1:
		return false, 0, &ProtocolError{"more than one Content-Length"}
	case len(lengths) == 0:
		return false, -1, nil
	}
	length, err = parseLength(lengths[0])
	return false, length, err
}

func parseLength(s string) (int64, error) {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, &ProtocolError{"Content-Length"}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, &ProtocolError{"Content-Length"}
	}
	return n, nil
}

// announce moves the names of the trailers to come to where net/http has them.
func announce(res *http.Response) {
	for _, v := range res.Header["Trailer"] {
		for name := range strings.SplitSeq(v, ",") {
			name = textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name))
			if framing(name) || name == "" {
				continue
			}
			if res.Trailer == nil {
				res.Trailer = make(http.Header)
			}
			res.Trailer[name] = nil
		}
	}
	delete(res.Header, "Trailer")
}

// upgrade makes res's body the connection itself.
func (c *conn) upgrade(r *http.Request, res *http.Response) error {
	if r.Header.Get("Upgrade") == "" || c.upload != nil {
		return fmt.Errorf("%w", &ProtocolError{"a switch of protocols that was not asked for"})
	}
	res.Body = &tunnel{c: c}
	return nil
}

var errNoHalfClose = errors.New("http1: the connection cannot be half closed")
