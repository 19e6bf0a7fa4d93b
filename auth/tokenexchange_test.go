package auth_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/auth"
)

// exchanges is an authorization server in memory that gives "for-X" for the token X, and
// none for those that begin with "bad".
type exchanges struct {
	life  time.Duration
	takes time.Duration
	asked atomic.Int32
}

func (e *exchanges) RoundTrip(r *http.Request) (*http.Response, error) {
	e.asked.Add(1)
	text, _ := io.ReadAll(r.Body)
	r.Body.Close()
	time.Sleep(e.takes)
	form, _ := url.ParseQuery(string(text))
	subject := form.Get("subject_token")
	if strings.HasPrefix(subject, "bad") {
		return replying(400, "application/json", `{"error":"invalid_grant","error_description":"`+subject+`"}`), nil
	}
	return replying(200, "application/json", fmt.Sprintf(
		`{"access_token":"for-%s","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":%d}`,
		subject, int(e.life.Seconds()))), nil
}

func exchanging(e http.RoundTripper, b http.RoundTripper) *auth.TokenExchange {
	return &auth.TokenExchange{Base: b, TokenURL: "https://id.test/token", ClientID: "gw", ClientSecret: clientSecret, Transport: e}
}

// RFC 8693 section 2.1.
func TestTokenExchangeAsksAsRFC8693Says(t *testing.T) {
	const kind = "urn:ietf:params:oauth:token-type:"
	answer := `{"access_token":"x","issued_token_type":"` + kind + `jwt","token_type":"N_A","expires_in":60}`
	address, asked := tokenRequests(t, giving(answer))
	transport := &auth.TokenExchange{
		Base: &bearers{}, TokenURL: address, ClientID: "gw", ClientSecret: clientSecret, Scopes: []string{"read"},
		Audience: "orders", Resource: "https://orders.test/", Parameters: url.Values{"x": {"1"}},
		RequestedTokenType: kind + "jwt", SubjectTokenType: kind + "jwt", ActorToken: "actor-token",
	}
	p := &auth.Principal{Subject: "ann"}
	assert.Equal(t, "x", shown(t, transport, asking(t.Context(), p, "callers")))
	public := &auth.TokenExchange{Base: &bearers{}, TokenURL: address, ClientID: "gw"}
	assert.Contains(t, shown(t, public, asking(t.Context(), p, "callers")), "502 upstream_body", "N_A that nobody asked for")
	require.Len(t, *asked, 2)
	user, password, _ := (*asked)[0].BasicAuth()
	assert.Equal(t, []string{"gw", clientSecret}, []string{user, password})
	assert.Equal(t, url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "scope": {"read"},
		"audience": {"orders"}, "resource": {"https://orders.test/"}, "x": {"1"}, "requested_token_type": {kind + "jwt"},
		"subject_token": {"callers"}, "subject_token_type": {kind + "jwt"},
		"actor_token": {"actor-token"}, "actor_token_type": {kind + "access_token"},
	}, (*asked)[0].PostForm)
	assert.Empty(t, (*asked)[1].Header.Get("Authorization"), "without a secret")
	assert.Equal(t, url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "client_id": {"gw"},
		"subject_token": {"callers"}, "subject_token_type": {kind + "access_token"},
	}, (*asked)[1].PostForm)
}

func TestTokenExchangeRefusesAnotherTypeThanItAskedFor(t *testing.T) {
	transport := exchanging(&exchanges{life: time.Hour}, &bearers{})
	transport.RequestedTokenType = "urn:ietf:params:oauth:token-type:saml2"
	assert.Contains(t, shown(t, transport, asking(t.Context(), &auth.Principal{}, "callers")), "502 upstream_body")

	const access = "urn:ietf:params:oauth:token-type:access_token"
	transport = exchanging(sending(func(*http.Request) (*http.Response, error) {
		return replying(200, "application/json", `{"access_token":"x","token_type":"N_A","issued_token_type":"`+access+`"}`), nil
	}), &bearers{})
	transport.RequestedTokenType = access
	assert.Contains(t, shown(t, transport, asking(t.Context(), &auth.Principal{}, "callers")), "502 upstream_body", "an access token has a type")
}

func TestTokenExchangeNeverMixesCallers(t *testing.T) {
	desk := &exchanges{life: time.Hour}
	transport := exchanging(desk, &bearers{})
	var all sync.WaitGroup
	for i := range 200 {
		token := fmt.Sprintf("token-%d", i%20)
		all.Go(func() {
			p := &auth.Principal{Subject: "the same for all"}
			assert.Equal(t, "for-"+token, shown(t, transport, asking(t.Context(), p, token)))
		})
	}
	all.Wait()
	assert.EqualValues(t, 20, desk.asked.Load(), "one exchange for each")
}

func TestTokenExchangeRefusesWhoHasNoToken(t *testing.T) {
	transport := exchanging(&exchanges{}, sending(nil))
	for name, p := range map[string]*auth.Principal{"nobody": nil, "by a key": {Subject: "reports"}} {
		r := asking(t.Context(), p, "")
		r.Header.Set("Authorization", "Bearer forged")
		body := &closes{Reader: strings.NewReader("x")}
		r.Body = body
		_, err := transport.RoundTrip(r)
		require.Error(t, err, name)
		assert.Equal(t, http.StatusUnauthorized, gateway.ProblemOf(err).Status, name)
		assert.True(t, body.closed)
	}
}

func TestTokenExchangeEndsWithThePrincipal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		desk := &exchanges{life: time.Hour}
		transport := exchanging(desk, &bearers{})
		p := &auth.Principal{Subject: "ann", Expires: time.Now().Add(time.Minute)}
		for range 60 {
			assert.Equal(t, "for-callers", shown(t, transport, asking(t.Context(), p, "callers")))
			time.Sleep(time.Second)
		}
		assert.EqualValues(t, 1, desk.asked.Load(), "another would be good for no longer")
		assert.Equal(t, "401 client_request 0s", shown(t, transport, asking(t.Context(), p, "callers")))
		assert.EqualValues(t, 1, desk.asked.Load())
	})
}

func TestTokenExchangeOfATokenThatIsNotTakenIsTheClientsToMend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		desk := &exchanges{life: time.Hour}
		transport := exchanging(desk, &bearers{})
		for range 50 {
			_, err := transport.RoundTrip(asking(t.Context(), &auth.Principal{}, "bad-token"))
			require.Error(t, err)
			p := gateway.ProblemOf(err)
			assert.Equal(t, []any{401, gateway.ClientRequest, time.Duration(0)}, []any{p.Status, p.Fault, p.RetryAfter})
			assert.NotContains(t, err.Error(), "bad-token")
		}
		assert.EqualValues(t, 1, desk.asked.Load(), "and costs no exchange each")
		assert.Equal(t, "for-good", shown(t, transport, asking(t.Context(), &auth.Principal{}, "good")), "another's is another's")
	})
}

func TestTokenExchangeRemembersNoMoreThanItMay(t *testing.T) {
	desk := &exchanges{life: time.Hour}
	transport := exchanging(desk, &bearers{})
	transport.MaxRemembered = 3
	for range 2 {
		for _, token := range []string{"a", "b", "c", "d"} { // each pushes out the one that comes next
			assert.Equal(t, "for-"+token, shown(t, transport, asking(t.Context(), &auth.Principal{}, token)))
		}
	}
	assert.EqualValues(t, 8, desk.asked.Load())
	shown(t, transport, asking(t.Context(), &auth.Principal{}, "d"))
	assert.EqualValues(t, 8, desk.asked.Load())
}

func TestTokenExchangeRemembersNothingIfTold(t *testing.T) {
	desk := &exchanges{life: time.Hour}
	transport := exchanging(desk, &bearers{})
	transport.MaxRemembered = -1
	for range 2 {
		assert.Equal(t, "for-a", shown(t, transport, asking(t.Context(), &auth.Principal{}, "a")))
	}
	assert.EqualValues(t, 2, desk.asked.Load())
}

func TestTokenExchangeIsMadeOnceForAThousandOfOneCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		desk := &exchanges{life: time.Hour, takes: time.Second}
		transport := exchanging(desk, &bearers{})
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				assert.Equal(t, "for-callers", shown(t, transport, asking(t.Context(), &auth.Principal{}, "callers")))
			})
		}
		all.Wait()
		assert.EqualValues(t, 1, desk.asked.Load())
	})
}
