package middleware

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
	"github.com/gatewright/gateway/internal/field"
)

// LeaveOut is for a field of [Security] that is not to be sent.
const LeaveOut = "-"

// defaultHSTS is what the lists that browsers come with ask for, twice over.
const defaultHSTS = 2 * 365 * 24 * time.Hour

// Security says what browsers may do with responses. The zero value is for APIs and pages
// that nobody embeds. Each text is the value of the header field that it is named after;
// [LeaveOut] in its place leaves the field out.
type Security struct {
	HSTS              time.Duration // for how long browsers are to come over TLS only, to the second (RFC 6797); zero: two years; negative: left out
	IncludeSubDomains bool          // HSTS holds for all domains below as well; false: for the host only
	Frames            string        // who may embed a page, DENY or SAMEORIGIN: X-Frame-Options, and frame-ancestors of the policy if that is not given; empty: DENY
	ContentPolicy     string        // Content-Security-Policy; empty: frame-ancestors as Frames says, and nothing else
	Referrer          string        // Referrer-Policy; empty: no-referrer
	Permissions       string        // Permissions-Policy; empty: left out
	Opener            string        // Cross-Origin-Opener-Policy; empty: same-origin
	Resource          string        // Cross-Origin-Resource-Policy; empty: same-origin
	Embedder          string        // Cross-Origin-Embedder-Policy; empty: left out
	Remove            []string      // fields that tell an attacker what runs here; nil: Server, X-Powered-By, X-Aspnet-Version and X-Aspnetmvc-Version; empty: none
}

// SecureHeaders returns a middleware that completes responses with the fields of s, just
// before they are sent, whoever made them: problems and redirects too, so give it to
// gateway.New.
//
// A field that the handler or the upstream has set stays as it is: who made the page knows
// best what it needs. [ResponseHeaders] has the last word where that should not be so. Two
// are the gateway's own: X-Content-Type-Options, which is always nosniff; and
// Strict-Transport-Security, which is replaced, as a backend should not speak for the
// whole host, and sent only to who came over TLS (RFC 6797 section 7.2): to us, or to a
// proxy that [TrustProxies] trusts and that says https in X-Forwarded-Proto.
//
// It panics, with all faults in one error, if a value is not valid.
func SecureHeaders(s Security) gateway.Middleware {
	if err := s.check(); err != nil {
		panic(err)
	}
	complete, hsts, remove := s.compile(), s.hsts(), s.remove()
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, r := exchange.Join(w, r)
			secure := hsts != nil && cameOverTLS(x, r)
			serveWithHeader(next, x, r, func(h http.Header) {
				for _, name := range remove {
					delete(h, name)
				}
				complete(h)
				if hsts != nil {
					delete(h, "Strict-Transport-Security")
				}
				if secure {
					h["Strict-Transport-Security"] = hsts[:1:1]
				}
			})
		})
	}
}

// compile returns what adds the fields that are missing.
func (s Security) compile() func(http.Header) {
	names, values, nosniff := []string(nil), [][]string(nil), []string{"nosniff"}
	for _, f := range s.fields() {
		if f.value != LeaveOut {
			names, values = append(names, f.name), append(values, []string{f.value})
		}
	}
	return func(h http.Header) {
		for i, name := range names {
			if _, ok := h[name]; !ok {
				h[name] = values[i][:1:1] // whoever appends gets an array of its own
			}
		}
		h["X-Content-Type-Options"] = nosniff[:1:1]
	}
}

// securityField is a header field as it is sent, unless it is LeaveOut.
type securityField struct {
	name, value string
	allowed     []string // values that the standard has; nil: it has many
}

// fields returns those of s that a handler may have set, with defaults in place.
func (s Security) fields() []securityField {
	frames := cmp.Or(s.Frames, "DENY")
	return []securityField{
		{"X-Frame-Options", frames, []string{"DENY", "SAMEORIGIN"}},
		{"Content-Security-Policy", cmp.Or(s.ContentPolicy, ancestors(frames)), nil},
		{"Referrer-Policy", cmp.Or(s.Referrer, "no-referrer"), nil},
		{"Permissions-Policy", cmp.Or(s.Permissions, LeaveOut), nil},
		{"Cross-Origin-Opener-Policy", cmp.Or(s.Opener, "same-origin"), []string{"same-origin", "same-origin-allow-popups", "noopener-allow-popups", "unsafe-none"}},
		{"Cross-Origin-Resource-Policy", cmp.Or(s.Resource, "same-origin"), []string{"same-origin", "same-site", "cross-origin"}},
		{"Cross-Origin-Embedder-Policy", cmp.Or(s.Embedder, LeaveOut), []string{"require-corp", "credentialless", "unsafe-none"}},
	}
}

// ancestors returns the policy that says what X-Frame-Options does, for browsers that go
// by the one and not the other.
func ancestors(frames string) string {
	switch frames {
	case "DENY":
		return "frame-ancestors 'none'"
	case "SAMEORIGIN":
		return "frame-ancestors 'self'"
	}
	return LeaveOut
}

func (s Security) hsts() []string {
	switch {
	case s.HSTS < 0:
		return nil
	case s.HSTS == 0:
		s.HSTS = defaultHSTS
	}
	value := "max-age=" + strconv.FormatInt(int64(s.HSTS/time.Second), 10)
	if s.IncludeSubDomains {
		value += "; includeSubDomains"
	}
	return []string{value}
}

func (s Security) remove() []string {
	if s.Remove == nil {
		return []string{"Server", "X-Powered-By", "X-Aspnet-Version", "X-Aspnetmvc-Version"}
	}
	names := make([]string, len(s.Remove))
	for i, name := range s.Remove {
		names[i] = http.CanonicalHeaderKey(name)
	}
	return names
}

// referrerPolicies are those of the standard (Referrer Policy, section 3). A browser goes
// by the last of a list that it knows.
var referrerPolicies = []string{
	"no-referrer", "no-referrer-when-downgrade", "same-origin", "origin", "strict-origin",
	"origin-when-cross-origin", "strict-origin-when-cross-origin", "unsafe-url",
}

func (s Security) check() error {
	var faults []error
	fault := func(format string, v ...any) {
		faults = append(faults, fmt.Errorf("middleware: secure headers: "+format, v...))
	}
	for _, f := range s.fields() {
		switch {
		case f.value == LeaveOut:
		case !field.IsValue(f.value) || strings.TrimSpace(f.value) != f.value:
			fault("%s: %q is not valid", f.name, f.value)
		case f.allowed != nil && !slices.Contains(f.allowed, f.value):
			fault("%s: %q is not one of %s", f.name, f.value, strings.Join(f.allowed, ", "))
		}
	}
	for policy := range strings.SplitSeq(cmp.Or(s.Referrer, LeaveOut), ",") {
		if policy = strings.TrimSpace(policy); policy != LeaveOut && !slices.Contains(referrerPolicies, policy) {
			fault("Referrer-Policy: %q is not one of %s", policy, strings.Join(referrerPolicies, ", "))
		}
	}
	if s.HSTS > 0 && s.HSTS < time.Second {
		fault("HSTS %v is less than a second", s.HSTS)
	}
	if s.IncludeSubDomains && s.HSTS < 0 {
		fault("IncludeSubDomains without HSTS")
	}
	for _, name := range s.Remove {
		if !field.IsToken(name) {
			fault("Remove: name %q is not valid", name)
		}
	}
	return errors.Join(faults...)
}

// cameOverTLS reports whether the client's own connection is known to be TLS. Of several
// words in X-Forwarded-Proto the first is the client's, the others those of proxies.
func cameOverTLS(x *exchange.Exchange, r *http.Request) bool {
	if !x.Trusted {
		return r.TLS != nil
	}
	proto, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return strings.EqualFold(strings.TrimSpace(proto), "https") || proto == "" && r.TLS != nil
}
