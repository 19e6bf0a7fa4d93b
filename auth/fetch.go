package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// maxDocument is how long what an issuer publishes may be.
const maxDocument = 512 << 10

// fetchDocument returns what is at an URL, if it is there.
func (s service) fetchDocument(ctx context.Context, from string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	response, err := s.ask(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		drain(response)
		return nil, fmt.Errorf("status %d", response.StatusCode)
	}
	return read(ctx, response, maxDocument)
}

// checkURL refuses what is not an absolute URL of a web server.
func checkURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return errors.New("not an absolute http or https URL") // which may hold a password
	}
	return nil
}
