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
	"log/slog"
	"net/http"
	"time"

	"github.com/dunglas/httpsfv"
)

const defaultLabel = "sig1"

// Signer is a [http.RoundTripper] that signs requests (HTTP Message Signatures, RFC 9421)
// and sends them by Base: what [Signature] verifies. A signature covers what Cover says,
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
// The fields must not be changed once it is used. It may be used concurrently.
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

	// Cover is the components to sign, as in [Signature], and must be there in each
	// request. Nil: @method, @authority, @path and @query.
	Cover []string

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
}

// String describes s without its key.
func (s Signer) String() string {
	return fmt.Sprintf("auth.Signer{KeyID: %q, Authority: %q, key redacted}", s.KeyID, s.Authority)
}

// GoString is String, for %#v.
func (s Signer) GoString() string { return s.String() }

// LogValue is String, for slog.
func (s Signer) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String, for encoding/json.
func (s Signer) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// RoundTrip sends r, signed. It fails, and sends nothing, if s is misconfigured, if a
// component to cover is not in r, or if the key or the body does; otherwise as Base does.
func (s Signer) RoundTrip(r *http.Request) (*http.Response, error) {
	out, err := s.signed(r)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, fmt.Errorf("auth: signer: %w", err)
	}
	return s.Base.RoundTrip(out)
}

// signed returns a signed copy of r. What of s has to be worked out for it is little, next
// to a signature.
func (s Signer) signed(r *http.Request) (*http.Request, error) {
	sign, keyErr := signWith(s.Key, s.PKCS1)
	cover, coverErr := parseCover(s.Cover)
	if err := errors.Join(keyErr, coverErr, s.check()); err != nil {
		return nil, err
	}
	out := *r
	out.Header = r.Header.Clone()
	if out.Header == nil {
		out.Header = make(http.Header)
	}
	removeField(out.Header, signatureInput)
	removeField(out.Header, signatureValue)
	if s.Authority != "" {
		out.Host = s.Authority
	}
	if hasBody(r) {
		if err := s.digest(&out); err != nil {
			return nil, err
		}
		if !covered(cover, contentDigest) {
			cover = append(cover[:len(cover):len(cover)], contentDigest)
		}
	}
	return &out, s.sign(&out, cover, sign)
}

func (s Signer) check() error {
	var faults []error
	if s.Base == nil {
		faults = append(faults, errors.New("no Base"))
	}
	if s.KeyID == "" || len(s.KeyID) > maxKeyID {
		faults = append(faults, fmt.Errorf("KeyID that is not 1 to %d bytes long", maxKeyID))
	}
	if s.Label != "" && !isLabel(s.Label) {
		faults = append(faults, errors.New("impossible Label"))
	}
	if s.Expires < 0 || 0 < s.Expires && s.Expires < time.Second {
		faults = append(faults, errors.New("less than a second to Expires, which is what it counts in"))
	}
	if s.MaxBody < 0 {
		faults = append(faults, errors.New("negative MaxBody"))
	}
	if k, ok := s.Key.(*ecdsa.PrivateKey); ok && k != nil && k.Curve == elliptic.P521() { // RFC 9421 section 6.2.2 has none for it
		faults = append(faults, errors.New("no algorithm for this Key"))
	}
	return errors.Join(faults...)
}

// digest gives out the digest of its body, which it can still send.
func (s Signer) digest(out *http.Request) error {
	sum, err := s.sumOfBody(out)
	if err != nil {
		return fmt.Errorf("body: %w", err)
	}
	digest, err := digestOf(sum)
	removeField(out.Header, contentDigestField)
	out.Header[contentDigestField] = []string{digest}
	return err
}

func (s Signer) sumOfBody(out *http.Request) ([]byte, error) {
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
	body, err := readSigned(out, cmp.Or(s.MaxBody, defaultSignedBody))
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

func (s Signer) sign(out *http.Request, cover []component, sign signFunc) error {
	list := httpsfv.InnerList{Params: s.params(time.Now())}
	for _, c := range cover {
		list.Items = append(list.Items, c.item)
	}
	params, err := httpsfv.Marshal(list)
	if err != nil {
		return fmt.Errorf("KeyID or Tag: %w", err)
	}
	base, err := s.message(out).base(cover, params)
	if err != nil {
		return err
	}
	value, err := sign(base)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	label := cmp.Or(s.Label, defaultLabel)
	signature, err := httpsfv.Marshal(httpsfv.NewItem(value))
	out.Header[signatureInput] = []string{label + "=" + params}
	out.Header[signatureValue] = []string{label + "=" + signature}
	return err
}

// params are the signature's parameters. The nonce makes sure that two requests that are
// otherwise the same are not taken for one.
func (s Signer) params(now time.Time) *httpsfv.Params {
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
func (s Signer) message(out *http.Request) *message {
	return &message{
		Request: out, length: out.ContentLength,
		host:   cmp.Or(out.Host, out.URL.Host),
		scheme: cmp.Or(out.URL.Scheme, s.Scheme, "https"),
	}
}
