package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// serviceAccount is where Kubernetes puts the files of a pod's service account.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

// connect returns EndpointSlices that ask the API server at api; or, if that is empty, the
// one of the cluster that this runs in, as its environment and the files in account say.
func connect(api, account string) (*EndpointSlices, error) {
	e := &EndpointSlices{API: strings.TrimSuffix(api, "/"), Namespace: "default", Client: newClient(nil)}
	if api != "" {
		return e, nil
	}
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("this is not a pod: -api must say where the API server is")
	}
	e.API = "https://" + net.JoinHostPort(host, port)
	ca, err := os.ReadFile(filepath.Join(account, "ca.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("no certificate in %s", filepath.Join(account, "ca.crt"))
	}
	e.Client = newClient(roots)
	e.Token = func() (string, error) { return readToken(filepath.Join(account, "token")) }
	if namespace, err := os.ReadFile(filepath.Join(account, "namespace")); err == nil {
		e.Namespace = strings.TrimSpace(string(namespace))
	}
	return e, nil
}

// readToken is called for each request: the kubelet replaces a token before it expires.
func readToken(path string) (string, error) {
	token, err := os.ReadFile(path)
	return string(bytes.TrimSpace(token)), err
}

// newClient returns a client that trusts roots, nil being those of the system. It has no
// time limit for a response's body, as a watch is one.
func newClient(roots *x509.CertPool) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSClientConfig:       &tls.Config{RootCAs: roots},
			TLSHandshakeTimeout:   5 * time.Second,
			ResponseHeaderTimeout: 30 * time.Second,
			IdleConnTimeout:       time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // not with our token
	}
}
