package auth

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/dunglas/httpsfv"

	"github.com/gatewright/gateway/internal/rawpath"
)

const defaultLabel = "sig1"

// Signer is a [http.RoundTripper] that signs requests (HTTP Message Signatures, RFC 9421)
// and sends them by Base: what [Signature] verifies. A signature covers what Components says,
// and if there is a body a Content-Digest (RFC 9530) by sha-256; it has created, a nonce
// and keyid. These three fields of the request are replaced, in a copy of it.
//
// A body that can be had twice (GetBody) is read twice, any other is held in memory, up to
// MaxBody: a larger one fails the request as a [http.MaxBytesError].
//
// What is signed is the host, which a request in a gateway has not before a pool gives it
// one. So as the Base of a pool a Signer needs to be told nothing, and signs each attempt
// anew; above a pool it must be told the Authority, and what the pool repeats after the
// other side has seen it is, to that side, a replay.
//
// Its fields must not be changed once it is in use. It may be used concurrently. One that
// is misconfigured fails every round trip with all faults in one error, which [gateway.Proxy]
// shows at start-up.
type Signer struct {
	// Base sends what is signed. Required.
	Base http.RoundTripper

	// Key is a []byte of 32 or more for hmac-sha256, or a [crypto.Signer], as private keys
	// and those in a key store are: RSA of 2048 bits or more for rsa-pss-sha512, ECDSA for
	// ecdsa-p256-sha256 or ecdsa-p384-sha384, Ed25519. Required.
	Key any

	// PKCS1 has an RSA key sign by rsa-v1_5-sha256. False: by rsa-pss-sha512.
	PKCS1 bool

	// KeyID is the keyid by which the other side knows the key. Required.
	KeyID string

	// Components are those to sign, as in [Signature], and must be there in each
	// request. Nil: @method, @authority, @path and @query.
	Components []string

	// Label is the signature's label. Empty: sig1.
	Label string

	// Tag says what the signature is for. Empty: it has none.
	Tag string

	// Expires is for how long it is good. Zero: that is the other side's to say.
	Expires time.Duration

	// MaxBody is how many bytes of a body are held in memory. Zero: 1 MiB.
	MaxBody int64

	// Authority is the host, with a port if it is not the scheme's own, that requests are
	// signed for, and which is sent as Host. Empty: the request's.
	Authority string

	// Scheme is what a request without one is signed for; it matters to @target-uri,
	// @scheme and the port of the authority. Empty: https.
	Scheme string

	signerText
	compiled compiled[*requestSigner]
}

// signerText describes a [Signer] without its key, also one that is printed by value: methods
// of its own would copy its lock.
type signerText struct{}

// RoundTrip sends r, signed. It fails, and sends nothing, if a component to cover is not in
// r, or if the key or the body does; otherwise as Base does.
func (s *Signer) RoundTrip(r *http.Request) (*http.Response, error) {
	c, err := s.compiled.get(s.build)
	if err != nil {
		return refused(r, err)
	}
	out, err := c.signed(r)
	if err != nil {
		return refused(r, fmt.Errorf("auth: signer: %w", err))
	}
	return c.Base.RoundTrip(out)
}

// Check returns what is wrong with s, or with its Base.
func (s *Signer) Check() error {
	_, err := s.compiled.get(s.build)
	return err
}

// requestSigner is a compiled Signer.
type requestSigner struct {
	*Signer
	cover []component
	key   signFunc
	label string
	limit int64 // of a body
}

func (s *Signer) build() (*requestSigner, error) {
	key, keyErr := signWith(s.Key, s.PKCS1)
	cover, coverErr := parseCover(s.Components)
	if err := errors.Join(keyErr, coverErr, s.faults()); err != nil {
		return nil, fmt.Errorf("auth: signer: %w", err)
	}
	return &requestSigner{s, cover, key, cmp.Or(s.Label, defaultLabel), cmp.Or(s.MaxBody, defaultSignedBody)}, nil
}

func (s *Signer) faults() error {
	faults := []error{checkBase(s.Base)}
	add := func(fault bool, what string) {
		if fault {
			faults = append(faults, errors.New(what))
		}
	}
	add(s.KeyID == "" || len(s.KeyID) > maxKeyID, fmt.Sprintf("KeyID that is not 1 to %d bytes long", maxKeyID))
	add(s.Label != "" && !isLabel(s.Label), "impossible Label")
	add(s.Expires < 0 || 0 < s.Expires && s.Expires < time.Second, "less than a second to Expires, which is what it counts in")
	add(s.MaxBody < 0, "negative MaxBody")
	k, ok := s.Key.(*ecdsa.PrivateKey)
	add(ok && k != nil && k.Curve == elliptic.P521(), "no algorithm for this Key") // RFC 9421 section 6.2.2 has none for it
	_, err := httpsfv.Marshal(httpsfv.InnerList{Params: s.params(time.Time{})})
	add(err != nil, "a KeyID or a Tag that is not printable ASCII")
	return errors.Join(faults...)
}

// signed returns a signed copy of r.
func (c *requestSigner) signed(r *http.Request) (*http.Request, error) {
	out := *r
	out.Header = r.Header.Clone()
	if out.Header == nil {
		out.Header = make(http.Header)
	}
	removeField(out.Header, signatureInput)
	removeField(out.Header, signatureValue)
	if c.Authority != "" {
		out.Host = c.Authority
	}
	out.URL = plainURL(r.URL)
	cover := c.cover
	if hasBody(r) {
		if err := c.digest(&out); err != nil {
			return nil, err
		}
		if !covered(cover, contentDigest) {
			cover = append(cover[:len(cover):len(cover)], contentDigest)
		}
	}
	return &out, c.sign(&out, cover)
}

// plainURL returns u, or a copy whose path every transport writes in the same way: net/http's
// escapes what is not quite by the book, and a pool's does not.
func plainURL(u *url.URL) *url.URL {
	strict := rawpath.Strict(u)
	if strict == rawpath.Escaped(u) {
		return u
	}
	plain := *u
	plain.RawPath = strict
	return &plain
}

// digest gives out the digest of its body, which it can still send.
func (c *requestSigner) digest(out *http.Request) error {
	sum, err := c.sumOfBody(out)
	if err != nil {
		return fmt.Errorf("body: %w", err)
	}
	digest, err := digestOf(sum)
	removeField(out.Header, contentDigestField)
	out.Header[contentDigestField] = []string{digest}
	return err
}

func (c *requestSigner) sumOfBody(out *http.Request) ([]byte, error) {
	if out.GetBody != nil {
		again, err := out.GetBody()
		if err != nil {
			return nil, err
		}
		defer again.Close()
		hash := sha256.New()
		_, err = io.Copy(hash, again)
		return hash.Sum(nil), err
	}
	body, err := readSigned(out, c.limit)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	out.ContentLength = int64(len(body))
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	out.Body = &readAgain{bytes.NewReader(body), out.Body}
	if len(body) == 0 { // anything else would have a transport guess at a length
		_ = out.Body.Close()
		out.Body, out.GetBody = http.NoBody, nil
	}
	return sum[:], nil
}

func (c *requestSigner) sign(out *http.Request, cover []component) error {
	list := httpsfv.InnerList{Params: c.params(time.Now())}
	for _, component := range cover {
		list.Items = append(list.Items, component.item)
	}
	params, err := httpsfv.Marshal(list)
	if err != nil {
		return err
	}
	base, err := c.message(out).base(cover, params)
	if err != nil {
		return err
	}
	value, err := c.key(base)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	signature, err := httpsfv.Marshal(httpsfv.NewItem(value))
	out.Header[signatureInput] = []string{c.label + "=" + params}
	out.Header[signatureValue] = []string{c.label + "=" + signature}
	return err
}

// params are the signature's parameters. The nonce makes sure that two requests that are
// otherwise the same are not taken for one.
func (s *Signer) params(now time.Time) *httpsfv.Params {
	p := httpsfv.NewParams()
	p.Add("created", now.Unix())
	if s.Expires > 0 {
		p.Add("expires", now.Add(s.Expires).Unix())
	}
	p.Add("nonce", rand.Text())
	p.Add("keyid", s.KeyID)
	if s.Tag != "" {
		p.Add("tag", s.Tag)
	}
	return p
}

// message is out as the other side will get it.
func (s *Signer) message(out *http.Request) *message {
	return &message{
		Request: out, length: out.ContentLength,
		host:   cmp.Or(out.Host, out.URL.Host),
		scheme: cmp.Or(out.URL.Scheme, s.Scheme, "https"),
	}
}
