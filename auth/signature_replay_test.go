package auth

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"io"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shared imitates the store of several gateways, which keeps ids and no clock.
type shared struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (m *shared) seen(_ context.Context, id string, _ time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := m.ids[id]
	m.ids[id] = true
	return seen, nil
}

func newShared() *shared { return &shared{ids: make(map[string]bool)} }

func sha512Of(body string) string {
	sum := sha512.Sum512([]byte(body))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// signedWith returns what arrives of a request that s has signed.
func signedWith(t *testing.T, s *Signer, body string) *http.Request {
	t.Helper()
	var wire bytes.Buffer
	s.Base = wireFunc(func(r *http.Request) (*http.Response, error) {
		return &http.Response{Body: http.NoBody}, r.Write(&wire)
	})
	r, err := http.NewRequest(http.MethodPost, "http://shop.test/orders?id=1", strings.NewReader(body))
	require.NoError(t, err)
	_, err = s.RoundTrip(r)
	require.NoError(t, err)
	r, err = http.ReadRequest(bufio.NewReader(&wire))
	require.NoError(t, err)
	return r
}

type wireFunc func(*http.Request) (*http.Response, error)

func (f wireFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestSignatureIsAcceptedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mw := Require(partner())
		first := ordered("")
		signAs(first, "sig", usual+now(""))
		again := func() *http.Request { return first.Clone(t.Context()) }
		other := ordered("")
		signAs(other, "sig", usual+now(`;nonce="x"`))
		relabelled := again()
		relabelled.Header.Set("Signature-Input", strings.Replace(first.Header.Get("Signature-Input"), "sig", "gis", 1))
		relabelled.Header.Set("Signature", strings.Replace(first.Header.Get("Signature"), "sig", "gis", 1))

		replay, late := again(), again()
		assert.NotNil(t, serveBy(mw, first).passed)
		refusedSignature(t, serveBy(mw, replay), "a replay")
		refusedSignature(t, serveBy(mw, relabelled), "a replay")
		assert.NotNil(t, serveBy(mw, other).passed, "a nonce tells them apart")
		time.Sleep(time.Minute - time.Nanosecond)
		refusedSignature(t, serveBy(mw, late.Clone(t.Context())), "a replay")
		time.Sleep(time.Nanosecond)
		refusedSignature(t, serveBy(mw, late), "too long ago")
	})
}

// The other spelling of an ECDSA signature, with n-s for s, verifies as well.
func TestSignatureThatIsRespelledIsAReplay(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	a := Signature{Keys: map[string]SignatureKey{"k": {Key: &key.PublicKey, Principal: &Principal{Subject: "acme"}}}}
	mw := Require(a)
	r := signedWith(t, &Signer{Key: key, KeyID: "k"}, "")
	again := r.Clone(t.Context())
	sig := unbase64(t, strings.Trim(strings.TrimPrefix(r.Header.Get("Signature"), "sig1="), ":"))
	other := new(big.Int).SetBytes(sig[32:])
	other.Sub(key.Params().N, other).FillBytes(sig[32:])
	again.Header.Set("Signature", "sig1=:"+base64.StdEncoding.EncodeToString(sig)+":")
	assert.NotNil(t, serveBy(mw, r).passed)
	refusedSignature(t, serveBy(mw, again), "a replay")
}

func TestSignatureIsAcceptedOnceOfManyAtATime(t *testing.T) {
	mw := Require(partner())
	r := ordered("amount=1")
	signAs(r, "sig", usualBody+now(""))
	var passed atomic.Int32
	done := make(chan struct{})
	for range 16 {
		go func() {
			if serveBy(mw, withBody(r, "amount=1")).passed != nil {
				passed.Add(1)
			}
			done <- struct{}{}
		}()
	}
	for range 16 {
		<-done
	}
	assert.Equal(t, int32(1), passed.Load())
}

// slowBody imitates a client that takes its time, so that its signature is over, and
// forgotten, when the body has come.
type slowBody struct {
	io.Reader
	wait time.Duration
}

func (b *slowBody) Read(p []byte) (int, error) {
	time.Sleep(b.wait)
	return b.Reader.Read(p)
}

func TestSignatureCannotBeReplayedByASlowBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mw := Require(partner())
		r := ordered("amount=1")
		signAs(r, "sig", usualBody+now(""))
		slow := withBody(r, "amount=1")
		slow.Body = io.NopCloser(&slowBody{strings.NewReader("amount=1"), 2 * time.Minute})
		assert.NotNil(t, serveBy(mw, r).passed)
		refusedSignature(t, serveBy(mw, slow), "too old, now that the body is there")
	})
}

func TestSignaturesMemoryIsFullWithoutLettingAnyoneIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := partner()
		a.MaxRemembered = 3
		mw := Require(a)
		send := func(i int) served {
			r := ordered("")
			signAs(r, "sig", usual+now(`;nonce="`+strconv.Itoa(i)+`"`))
			return serveBy(mw, r)
		}
		for i := range 3 {
			require.NotNil(t, send(i).passed)
		}
		s := send(3)
		assert.Nil(t, s.passed)
		assert.Equal(t, http.StatusServiceUnavailable, s.Code)
		require.ErrorIs(t, s.err, errReplaysFull)
		refusedSignature(t, send(2), "a replay")
		time.Sleep(75 * time.Second)
		assert.NotNil(t, send(3).passed, "those that are over were forgotten")
	})
}
