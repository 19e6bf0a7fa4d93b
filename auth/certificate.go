package auth

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// certificateChallenge is for clients without a certificate, or with one that does not
// hold. There is no registered scheme, as TLS asks for certificates before HTTP begins;
// but a 401 must name one, and this tells a developer what is missing.
const certificateChallenge = `Certificate realm="gateway"`

// Certificate authenticates by the client's certificate (mutual TLS). The zero value lets
// in whom net/http's server has verified, for which its tls.Config needs ClientCAs, and
// [tls.VerifyClientCertIfGiven] or more.
//
// Who may come is said by the four lists: a certificate that matches any entry of any list
// is let in, and every verified one if all are empty.
//
// SPIFFE has patterns of SPIFFE IDs. A segment of the path is itself, or "*" for any one;
// the last may be "..." for one or more. The trust domain is itself. So
// "spiffe://shop.test/ns/*/sa/orders" takes the account of every namespace, and
// "spiffe://shop.test/..." all of the domain. Only the ID of an X.509-SVID counts: the one
// URI of a certificate that is not an authority's.
//
// DNS has names, in any case, or "*." and a name: "*.shop.test" takes "a.shop.test" and
// neither "shop.test" nor "a.b.shop.test". Emails has addresses, the domain in any case.
// Both are of the subject's alternative names only. Subjects has distinguished names, which
// are told by a "=" in them, as the claim "subject" shows them (RFC 2253, such as
// "CN=ann,O=Shop"), and common names, which have none.
//
// The principal's Subject is the name that matched: the SPIFFE ID, the DNS name, the
// address or, for Subjects, the distinguished name. If all lists are empty it is the first
// of: SPIFFE ID, distinguished name, DNS name, address. None can be taken for one of
// another kind. Claims has "subject" and "issuer", the distinguished names; "serial", in
// hexadecimal; "dns", "emails", "uris" and "ips", as lists, if there are any; and
// "x5t#S256", the SHA-256 of the certificate (RFC 8705 section 3.1). Expires is when the
// first certificate of its chain does.
//
// A certificate that does not verify is answered with 401, and one that does but matches
// nothing with 403: another attempt with it will not help (RFC 9110 section 15.5.4).
//
// What was verified by Roots and matched is remembered, by its SHA-256, for as long as the
// chain is valid, by each Require for itself: 10,000 certificates at most.
//
// A Gateway serves TLS that asks for certificates by a listener of package tls:
//
//	l, err := tls.Listen("tcp", ":8443", &tls.Config{
//		Certificates: []tls.Certificate{own},
//		ClientAuth:   tls.VerifyClientCertIfGiven,
//		ClientCAs:    partners,
//		NextProtos:   []string{"h2", "http/1.1"},
//	})
//	if err != nil {
//		log.Fatal(err)
//	}
//	log.Fatal(gw.ServeListener(ctx, l))
type Certificate struct {
	// Roots are of the authorities that certificates must lead to, for client
	// authentication. Nil: what the server, or the proxy, has verified counts.
	Roots *x509.CertPool

	// SPIFFE are patterns of SPIFFE IDs. Nil: none.
	SPIFFE []string

	// DNS are DNS names, or "*." and a name. Nil: none.
	DNS []string

	// Emails are addresses. Nil: none.
	Emails []string

	// Subjects are distinguished or common names. Nil: none.
	Subjects []string

	// FromProxies takes, behind a proxy that middleware.TrustProxies trusts, what it says in
	// Client-Cert and Client-Cert-Chain (RFC 9440), and not its own certificate. Such proxies
	// must replace what their clients say there. False: the fields are not read.
	FromProxies bool

	// Revoked is asked of every certificate, remembered or not. Nil: they are good until
	// they expire.
	Revoked Revoked
}

// Authenticate is part of [Authenticator]. See [Require] for what it costs.
func (c Certificate) Authenticate(r *http.Request) (*Principal, error) {
	v, err := c.compile()
	if err != nil {
		return nil, err
	}
	return v.Authenticate(r)
}

// Challenge is part of [Challenger].
func (c Certificate) Challenge() string { return certificateChallenge }

func (c Certificate) build() (Authenticator, error) {
	v, err := c.compile()
	if err != nil {
		return nil, err
	}
	v.memory = newMemory(0)
	return v, nil
}

func (c Certificate) compile() (*certVerifier, error) {
	rules, err := newCertRules(c)
	if err != nil {
		return nil, fmt.Errorf("auth: certificate: %w", err)
	}
	v := &certVerifier{rules: rules, proxies: c.FromProxies, revoked: c.Revoked}
	if c.Roots != nil {
		v.roots = c.Roots.Clone() // what is remembered holds for these
	}
	return v, nil
}

// certVerifier is a compiled Certificate.
type certVerifier struct {
	roots   *x509.CertPool
	rules   certRules
	proxies bool
	revoked Revoked
	memory  *memory
}

// clean removes what a backend could take for the gateway's word, whoever wrote it.
func (v *certVerifier) clean(r *http.Request) {
	removeSent(r, clientCert)
	removeSent(r, clientCertChain)
}

var errNotAdmitted = errors.New("matches no rule")

// Authenticate is part of [Authenticator].
func (v *certVerifier) Authenticate(r *http.Request) (*Principal, error) {
	p, err := v.principal(r)
	switch {
	case errors.Is(err, errTwice):
		return nil, refuseCertificate(http.StatusBadRequest, "The client certificate is given more than once.", err)
	case errors.Is(err, errNotAdmitted):
		return nil, refuse(http.StatusForbidden, "The client certificate does not allow this.", "", fmt.Errorf("auth: certificate: %w", err))
	case err != nil:
		return nil, refuseCertificate(http.StatusUnauthorized, "The client certificate is not valid.", err)
	case p == nil:
		return nil, nil
	}
	if err := v.revoked.check(r.Context(), "certificate", p); errors.Is(err, errRevoked) {
		return nil, refuseCertificate(http.StatusUnauthorized, "The client certificate is not valid.", err)
	} else if err != nil {
		return nil, err
	}
	return p, nil
}

func refuseCertificate(status int, detail string, cause error) error {
	return refuse(status, detail, certificateChallenge, fmt.Errorf("auth: certificate: %w", cause))
}

// principal returns who the client of r is, by memory if it can, or nil if it has shown
// no certificate.
func (v *certVerifier) principal(r *http.Request) (*Principal, error) {
	s, err := shownCertificate(r, v.proxies)
	if s == nil || err != nil {
		return nil, err
	}
	if v.roots == nil && !s.proxied && len(s.verified) == 0 {
		return nil, errors.New("the server has not verified it")
	}
	key, now := string(s.der), time.Now()
	if p := v.memory.recall(key, now); p != nil {
		return p, nil
	}
	found, err := v.verify(s, now)
	if err != nil {
		return nil, err
	}
	v.memory.keep(key, found)
	return found.principal, nil
}

func (v *certVerifier) verify(s *shown, now time.Time) (verified, error) {
	leaf, err := s.leaf()
	if err != nil {
		return verified{}, err
	}
	chains, err := v.chains(s, leaf, now)
	if err != nil {
		return verified{}, err
	}
	found := verified{}
	found.from, found.until = validity(chains)
	if !found.at(now) {
		return verified{}, errors.New("it, or its authority's, has expired or is not valid yet")
	}
	name, ok := v.rules.admit(namesOf(leaf))
	if !ok {
		return verified{}, errNotAdmitted
	}
	found.principal = &Principal{
		Subject: name, Claims: certificateClaims(leaf), Expires: found.until,
		field: clientCert, kind: otherCredential,
	}
	return found, nil
}

// chains returns those that lead from leaf to whom we trust: our own roots, or who has
// verified it for us.
func (v *certVerifier) chains(s *shown, leaf *x509.Certificate, now time.Time) ([][]*x509.Certificate, error) {
	switch {
	case v.roots != nil:
	case s.proxied:
		return [][]*x509.Certificate{{leaf}}, nil
	default:
		return s.verified, nil
	}
	intermediates, err := s.intermediates()
	if err != nil {
		return nil, err
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots:         v.roots,
		Intermediates: intermediates,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return chains, reason(err)
}

// reason returns why a certificate does not verify, without the names that the package's
// own errors quote from it: a stranger may have chosen them.
func reason(err error) error {
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &invalid):
		return errors.New("does not lead to one of Roots")
	case invalid.Reason == x509.Expired:
		return errors.New("it, or its authority's, has expired or is not valid yet")
	case invalid.Reason == x509.IncompatibleUsage:
		return errors.New("not for client authentication")
	}
	return fmt.Errorf("does not verify, by reason %d of crypto/x509", invalid.Reason)
}

// validity returns when the chain that lasts longest is valid.
func validity(chains [][]*x509.Certificate) (from, until time.Time) {
	for _, chain := range chains {
		var begin, end time.Time
		for i, c := range chain {
			if i == 0 || c.NotBefore.After(begin) {
				begin = c.NotBefore
			}
			if i == 0 || c.NotAfter.Before(end) {
				end = c.NotAfter
			}
		}
		if end.After(until) {
			from, until = begin, end
		}
	}
	return from, until
}

func certificateClaims(c *x509.Certificate) claims {
	all := claims{
		"issuer":       nameText(c.RawIssuer),
		"serial":       c.SerialNumber.Text(16),
		thumbprintName: thumbprint(c.Raw),
	}
	if subject := nameText(c.RawSubject); subject != "" {
		all["subject"] = subject
	}
	addTexts(all, "dns", c.DNSNames, func(s string) string { return s })
	addTexts(all, "emails", c.EmailAddresses, func(s string) string { return s })
	addTexts(all, "uris", c.URIs, (*url.URL).String)
	addTexts(all, "ips", c.IPAddresses, net.IP.String)
	return all
}

// addTexts adds a list, as decoded from JSON, unless it is empty.
func addTexts[T any](to claims, name string, list []T, text func(T) string) {
	if len(list) == 0 {
		return
	}
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = text(v)
	}
	to[name] = out
}
