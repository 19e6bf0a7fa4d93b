package auth_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
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
		"JWT compiled":  auth.Require(auth.JWT{Key: secret}),
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			fmt.Fprintf(&out, "%v %+v %#v %s %q", v, v, v, v, v)
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

func TestRedactedTextStillSaysWhichItIs(t *testing.T) {
	assert.Equal(t, `auth.JWT{Issuer: "https://id.test", Audience: "app", keys redacted}`,
		fmt.Sprint(auth.JWT{Issuer: "https://id.test", Audience: "app", Key: secret}))
	assert.Equal(t, `auth.APIKey{Header: "X-Api-Key", 1 keys redacted}`, fmt.Sprint(reports))
	assert.Equal(t, `auth.KeySet{1 redacted}`, fmt.Sprint(auth.KeySet{"id": secret}))
}
