package auth

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/dunglas/httpsfv"

	"github.com/gatewright/gateway/internal/forward"
)

const contentDigestField = "Content-Digest"

// checkDigest returns an error unless the field Content-Digest (RFC 9530 section 2) is that
// of body: by every algorithm that is good for it, and there must be one. That a digest by
// a broken algorithm is right or wrong says nothing.
func checkDigest(lines []string, body []byte) error {
	d, err := dictionary(lines)
	if err != nil {
		return err
	}
	known := 0
	for _, alg := range d.Names() {
		var sum []byte
		switch alg {
		case "sha-256":
			s := sha256.Sum256(body)
			sum = s[:]
		case "sha-512":
			s := sha512.Sum512(body)
			sum = s[:]
		default:
			continue
		}
		m, _ := d.Get(alg)
		item, _ := m.(httpsfv.Item)
		if v, ok := item.Value.([]byte); !ok || !bytes.Equal(v, sum) {
			return fmt.Errorf("%s is not that of the body", alg)
		}
		known++
	}
	if known == 0 {
		return errors.New("no digest by sha-256 or sha-512")
	}
	return nil
}

// digestOf returns the field for content with that SHA-256.
func digestOf(sum []byte) (string, error) {
	d := httpsfv.NewDictionary()
	d.Add("sha-256", httpsfv.NewItem(sum))
	return httpsfv.Marshal(d)
}

func hasBody(r *http.Request) bool { return r.Body != nil && r.Body != http.NoBody }

// checkBody compares the body with its digest, and leaves it to be read again.
func (v *signatureVerifier) checkBody(r *http.Request) error {
	var body []byte
	if hasBody(r) {
		var err error
		if body, err = readSigned(r, v.maxBody); err != nil {
			return fmt.Errorf("auth: signature: %w", err)
		}
		r.Body = &readAgain{bytes.NewReader(body), r.Body}
	}
	if err := checkDigest(r.Header[contentDigestField], body); err != nil {
		return invalid("%s: %w", contentDigestField, err)
	}
	return nil
}

// readSigned reads all of r's body, without believing the length that it announces.
func readSigned(r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, &http.MaxBytesError{Limit: limit}
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, limit))
	if tooLarge := (*http.MaxBytesError)(nil); err != nil && !errors.As(err, &tooLarge) {
		err = &forward.BodyError{Err: err}
	}
	return body, err
}

// readAgain is a body that has been read; closing it closes what it was.
type readAgain struct {
	io.Reader
	io.Closer
}
