package auth

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/field"
)

// isRefusal reports whether a service's status is one for the client: it may not pass, or
// has to go elsewhere first.
func isRefusal(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden,
		http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// refusedWith returns the refusal that the service has made, to be answered in its words.
// It is a problem as well, for the log and for who reads errors; as there is none with
// the status of a redirect, that is the one of who is not known yet.
func refusedWith(response *http.Response, body []byte, method string) error {
	status := response.StatusCode
	h := make(http.Header)
	for _, name := range []string{"Www-Authenticate", "Location", "Set-Cookie", "Content-Type"} {
		values := response.Header[name]
		if slices.ContainsFunc(values, func(v string) bool { return !field.IsValue(v) }) {
			return unasked(garbled(fmt.Errorf("the service sends a %s that is not valid", name)))
		}
		if len(values) > 0 {
			h[name] = slices.Clone(values)
		}
	}
	if status < 400 && len(h["Location"]) != 1 {
		return unasked(garbled(errors.New("the service sends a redirect to nowhere, or to several places")))
	}
	if status == http.StatusUnauthorized && h["Www-Authenticate"] == nil {
		h["Www-Authenticate"] = []string{defaultChallenge} // RFC 9110 section 15.5.2
	}
	problem := &gateway.Problem{Status: max(status, http.StatusUnauthorized), Detail: "The credentials do not allow this."}
	if problem.Status == http.StatusUnauthorized {
		problem.Detail = "This resource needs credentials."
	}
	problem.Err = &refusal{
		err:    fmt.Errorf("auth: forward: the service answers with %d", status),
		answer: func(w http.ResponseWriter) { write(w, status, h, body, method) },
	}
	return problem
}

// write answers with what a service has said, which is meant for one client only.
func write(w http.ResponseWriter, status int, said http.Header, body []byte, method string) {
	h := w.Header()
	for name, values := range said {
		if name == "Set-Cookie" {
			values = append(slices.Clone(h[name]), values...)
		}
		h[name] = values
	}
	h["Cache-Control"] = []string{"no-store"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	w.WriteHeader(status)
	if method != http.MethodHead {
		_, _ = w.Write(body) // a client that does not read it is not worth an error
	}
}
