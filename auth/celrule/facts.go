package celrule

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/internal/exchange"
)

// facts is what one evaluation may ask about. Nothing is computed before it is asked, and
// what costs something once.
type facts struct {
	r         *http.Request
	principal *auth.Principal // nil: the expression does not ask
	headers   any
	query     any
	claims    any
}

// Parent is part of [cel.Activation].
func (*facts) Parent() cel.Activation { return nil }

// ResolveName is part of [cel.Activation].
func (f *facts) ResolveName(name string) (any, bool) {
	switch name {
	case "request.method":
		return f.r.Method, true
	case "request.host":
		return hostOf(f.r), true
	case "request.path":
		return f.r.URL.Path, true
	case "request.query":
		return f.queryValues(), true
	case "request.headers":
		return f.headerValues(), true
	case "request.ip":
		return addressOf(f.r), true
	case "request.time":
		return time.Now(), true
	}
	if f.principal == nil {
		return nil, false
	}
	switch name {
	case "principal.subject":
		return f.principal.Subject, true
	case "principal.scopes":
		return f.principal.Scopes, true
	case "principal.roles":
		return f.principal.Roles, true
	case "principal.claims":
		return f.claimValues(), true
	}
	return nil, false
}

func hostOf(r *http.Request) string {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

func addressOf(r *http.Request) string {
	ip, ok := exchange.ClientIP(r)
	if !ok {
		return ""
	}
	return ip.String()
}

// queryValues is an error for a query that two readers could read differently.
func (f *facts) queryValues() any {
	if f.query != nil {
		return f.query
	}
	values, err := url.ParseQuery(f.r.URL.RawQuery)
	if err != nil {
		f.query = types.WrapErr(errors.New("the query cannot be read"))
		return f.query
	}
	f.query = map[string][]string(values)
	return f.query
}

// headerValues is an error for a header with a name in two spellings that a backend could
// take for the same: of which it would go by the one that a rule has not looked at.
func (f *facts) headerValues() any {
	if f.headers != nil {
		return f.headers
	}
	headers := make(map[string]string, len(f.r.Header))
	spelt := make(map[string]bool, len(f.r.Header))
	for name, values := range f.r.Header {
		folded := strings.Map(fold, name)
		if spelt[folded] {
			f.headers = types.WrapErr(errors.New("a field in two spellings"))
			return f.headers
		}
		spelt[folded] = true
		name, separator := strings.ToLower(name), ", " // RFC 9110 section 5.3
		if name == "cookie" {
			separator = "; " // RFC 9113 section 8.2.3
		}
		headers[name] = strings.Join(values, separator)
	}
	f.headers = headers
	return f.headers
}

// fold makes one of all spellings of a name: some backends read whatever is no letter or
// digit alike.
func fold(c rune) rune {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	}
	return '-'
}

func (f *facts) claimValues() any {
	if f.claims == nil {
		f.claims = native(f.principal.Claims)
		if f.principal.Claims == nil {
			f.claims = map[string]any{}
		}
	}
	return f.claims
}

// native returns v with numbers in place of their JSON text, which CEL would take for
// strings.
func native(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, e := range v {
			out[name] = native(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = native(e)
		}
		return out
	case json.Number:
		return number(v.String())
	}
	return v
}

// number is exact for 64-bit integers. What is larger than any number is an error to CEL.
func number(text string) any {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return n
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		return n
	}
	return types.WrapErr(errors.New("a number too large"))
}
