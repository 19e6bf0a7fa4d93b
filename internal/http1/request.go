package http1

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/gatewright/gateway/internal/field"
	"github.com/gatewright/gateway/internal/rawpath"
)

// check refuses what cannot be sent, before there is a connection to send it on.
func check(r *http.Request) error {
	switch {
	case r.URL == nil:
		return errors.New("http1: nil URL")
	case r.Header == nil:
		return errors.New("http1: nil Header")
	case r.Method != "" && !field.IsToken(r.Method):
		return fmt.Errorf("http1: invalid method %q", r.Method)
	case r.Method == http.MethodConnect:
		return errors.New("http1: CONNECT is not supported")
	}
	return nil
}

// framing are the fields that say where the message ends and where it goes. They are
// written from the request's own members, whatever its header says.
func framing(name string) bool {
	switch len(name) { // in any case: what is not canonical goes over the wire all the same
	case len("Host"):
		return strings.EqualFold(name, "Host")
	case len("Trailer"):
		return strings.EqualFold(name, "Trailer")
	case len("Content-Length"):
		return strings.EqualFold(name, "Content-Length")
	case len("Transfer-Encoding"):
		return strings.EqualFold(name, "Transfer-Encoding")
	}
	return false
}

// appendRequest appends r's header section as it goes over the wire.
func appendRequest(b []byte, r *http.Request, body *upload) ([]byte, error) {
	if r.Method == "" {
		b = append(b, http.MethodGet...)
	} else {
		b = append(b, r.Method...)
	}
	start := len(b) + 1
	b = rawpath.AppendTarget(append(b, ' '), r.URL)
	if !isVisible(b[start:]) {
		return nil, fmt.Errorf("http1: invalid request target %q", b[start:])
	}
	b = append(b, " HTTP/1.1\r\nHost: "...)
	start = len(b)
	if r.Host != "" {
		b = append(b, r.Host...)
	} else {
		b = append(b, r.URL.Host...)
	}
	if !isVisible(b[start:]) {
		return nil, fmt.Errorf("http1: invalid host %q", b[start:])
	}
	b = append(b, "\r\n"...)
	for name, values := range r.Header {
		if framing(name) {
			continue
		}
		if !field.IsToken(name) {
			return nil, fmt.Errorf("http1: invalid field name %q", name)
		}
		for _, v := range values {
			if v == "" && name == "User-Agent" {
				continue // net/http's convention for none
			}
			if !field.IsValue(v) {
				return nil, fmt.Errorf("http1: invalid value of field %q", name) // which may be a secret
			}
			b = append(append(append(append(b, name...), ": "...), v...), "\r\n"...)
		}
	}
	if r.Close {
		b = append(b, "Connection: close\r\n"...)
	}
	return append(appendFraming(b, r, body), "\r\n"...), nil
}

func appendFraming(b []byte, r *http.Request, body *upload) []byte {
	switch {
	case body == nil:
		switch r.Method {
		case http.MethodPost, http.MethodPut, http.MethodPatch: // RFC 9110 section 8.6
			b = append(b, "Content-Length: 0\r\n"...)
		}
		return b
	case body.length >= 0:
		b = append(b, "Content-Length: "...)
		return append(strconv.AppendInt(b, body.length, 10), "\r\n"...)
	}
	b = append(b, "Transfer-Encoding: chunked\r\n"...)
	separator := "Trailer: "
	for name := range r.Trailer {
		if field.IsToken(name) && !framing(name) {
			b = append(append(b, separator...), name...)
			separator = ", "
		}
	}
	if separator == ", " {
		b = append(b, "\r\n"...)
	}
	return b
}

// isVisible reports whether b, a target or a host, has neither white space nor controls.
func isVisible(b []byte) bool {
	for _, c := range b {
		if c <= 0x20 || c == 0x7f {
			return false
		}
	}
	return len(b) > 0
}
