package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Password is a [http.RoundTripper] that sends a backend the gateway's name and password
// (Basic authentication, RFC 7617), in place of what Authorization the client has sent.
//
// Its fields must not be changed once it is in use. It may be used concurrently. One that
// is misconfigured fails every round trip with all faults in one error, which [gateway.Proxy]
// shows at start-up.
type Password struct {
	Base     http.RoundTripper // sends the requests; required
	User     string            // UTF-8 without a colon and without controls; required
	Password Secret            // UTF-8 without controls; required

	compiled compiled[*fixed]
}

// RoundTrip sends r by Base with the name and the password.
func (p *Password) RoundTrip(r *http.Request) (*http.Response, error) {
	f, err := p.compiled.get(p.build)
	if err != nil {
		return refused(r, err)
	}
	return f.send(r)
}

// Check returns what is wrong with p, or with its Base.
func (p *Password) Check() error {
	_, err := p.compiled.get(p.build)
	return err
}

func (p *Password) build() (*fixed, error) {
	var faults []error
	faults = append(faults, checkBase(p.Base))
	if p.User == "" || !isBasicText(p.User) || strings.Contains(p.User, ":") { // which is where the password begins
		faults = append(faults, errors.New("invalid User"))
	}
	if p.Password == "" || !isBasicText(string(p.Password)) {
		faults = append(faults, errors.New("invalid Password"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("auth: password: %w", err)
	}
	login := base64.StdEncoding.EncodeToString([]byte(p.User + ":" + string(p.Password)))
	return &fixed{p.Base, []string{authorization}, map[string][]string{authorization: {"Basic " + login}}}, nil
}
