package auth_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gatewright/gateway/auth"
)

func TestSecretsAreNotPrinted(t *testing.T) {
	hash := auth.HashKey(apiKey)
	set := auth.KeySet{"id": secret}
	for name, v := range map[string]any{
		"JWT":           auth.JWT{Issuer: "https://id.test", Key: secret},
		"JWT by kid":    auth.JWT{Keys: set},
		"*JWT":          &auth.JWT{Key: secret},
		"KeySet":        set,
		"APIKey":        reports,
		"*APIKey":       &reports,
		"mapped":        auth.Map(auth.JWT{Key: secret}, same),
		"mapped key":    auth.Map(reports, same),
		"within struct": struct{ J auth.JWT }{auth.JWT{Key: secret}},
		"within slice":  []any{auth.JWT{Key: secret}, set, reports},
		"Secret":        auth.Secret(secret),
		"Secrets":       map[string]any{"a": []auth.Secret{auth.Secret(secret)}},
		"SignatureKey":  auth.SignatureKey{Key: secret},
		"Signature":     auth.Signature{Keys: map[string]auth.SignatureKey{"a": {Key: secret}}},
		"Basic":         auth.Basic{Users: map[string]string{"ann": string(secret)}},
		"ForwardAuth":   auth.ForwardAuth{URL: "https://service.test/?key=" + string(secret)},
		"*Static":       &auth.Static{Set: map[string]auth.Secret{"X-Key": auth.Secret(secret)}},
		"*Password":     &auth.Password{Password: auth.Secret(secret)},
		"Signer":        []any{&auth.Signer{Key: secret}},
		"Principal":     sentOn(string(secret)),
		"JWT compiled":  auth.Require(auth.JWT{Key: secret}),
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			for verb := range strings.SplitSeq("v +v #v s q d t x X o b c U e f g", " ") {
				fmt.Fprintf(&out, "%"+verb+" ", v)
			}
			slog.New(slog.NewJSONHandler(&out, nil)).Info("config", "auth", v)
			slog.New(slog.NewTextHandler(&out, nil)).Info("config", "auth", v)
			for _, leak := range []string{
				string(secret[:8]), hex.EncodeToString(secret[:8]), base64.StdEncoding.EncodeToString(secret[:6]),
				fmt.Sprintf("%d", secret[:8])[1:20], fmt.Sprintf("%#v", secret[:4])[7:20], hash[:8],
			} {
				assert.NotContains(t, out.String(), leak)
			}
		})
	}
}

// sentOn returns a principal whose request goes on with a secret of the service's.
func sentOn(secret string) *auth.Principal {
	p, err := auth.ForwardAuth{URL: "https://service.test/", Copy: []string{"Authorization"}, Transport: sentBy(func(*http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		w.Header().Set("Authorization", "Bearer "+secret)
		return w.Result(), nil
	})}.Authenticate(withKeys())
	return must(p, err)
}

func TestRedactedTextStillSaysWhichItIs(t *testing.T) {
	assert.Equal(t, `auth.JWT{Issuer: "https://id.test", Audience: "app", keys redacted}`,
		fmt.Sprint(auth.JWT{Issuer: "https://id.test", Audience: "app", Key: secret}))
	assert.Equal(t, `auth.APIKey{Header: "X-Api-Key", 1 keys redacted}`, fmt.Sprint(reports))
	assert.Equal(t, `auth.KeySet{1 redacted}`, fmt.Sprint(auth.KeySet{"id": secret}))
}
