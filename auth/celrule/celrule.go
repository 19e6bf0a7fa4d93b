// Package celrule makes rules of package auth from expressions in CEL, the Common
// Expression Language (https://cel.dev), for teams that keep them as text.
//
//	package main
//
//	import (
//		"context"
//		"log"
//		"os"
//
//		"github.com/gatewright/gateway"
//		"github.com/gatewright/gateway/auth"
//		"github.com/gatewright/gateway/auth/celrule"
//		"github.com/gatewright/gateway/balancer"
//	)
//
//	func main() {
//		gw := gateway.New()
//		app := gw.Group("/app",
//			auth.Require(auth.JWT{Key: []byte(os.Getenv("TOKEN_KEY"))}),
//			auth.Allow(celrule.Must(`request.method in ["GET", "HEAD"] || "write" in principal.scopes`)),
//		)
//		app.Handle("/", gateway.Proxy(balancer.To("http://shop:8080")))
//		log.Fatal(gw.Serve(context.Background(), ":8080"))
//	}
//
// An expression sees the request and who it speaks for:
//
//	request.method    string               as sent: "GET"
//	request.host      string               in lower case, without a port
//	request.path      string               without its escapes: "/a b"; "%2F" is a slash too
//	request.query     map(string, list)    all values of each parameter, without their escapes
//	request.headers   map(string, string)  names in lower case; several values with ", " between ("; " in cookie); an error if two names are spellings of one
//	request.ip        string               the client's address, as gateway.ClientIP goes by; "" if it is not known
//	request.time      timestamp            now
//	principal.subject string
//	principal.scopes  list(string)
//	principal.roles   list(string)
//	principal.claims  map(string, dyn)     as decoded from JSON
//
// Besides the standard functions of CEL there are those of its network extension:
//
//	cidr("10.0.0.0/8").containsIP(request.ip)
//	"admin" in principal.roles && request.time.getHours() < 18
//	request.headers[?"x-tenant"].orValue("") == principal.claims.tenant
//
// A parameter is a list because it may be there twice, and a backend may take the one
// that a rule did not look at: request.query["n"] == ["1"] is of all of them.
package celrule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/ext"

	"github.com/gatewright/gateway/auth"
	"github.com/gatewright/gateway/internal/exchange"
)

// What an expression may take: hundreds of times what a sensible one does.
const (
	maxExpression = 16 << 10 // characters
	maxNesting    = 2        // of all(), exists(), map() and the like within each other
	maxCost       = 100_000  // in CEL's own measure, which counts steps and bytes
	maxTime       = time.Second
	checkEvery    = 100 // steps of a loop, between looks at the clock
)

// New returns the rule that expression is true. It is compiled once, and an error if it is
// longer than 16 KiB, not CEL, about what is not there, or not of type bool.
//
// A rule that mentions the principal is an [auth.Check]: for nobody it denies with 401.
// One that does not is an [auth.CheckRequest]: it denies with 403, whoever it is. To let some
// requests pass for nobody as well, combine one of each with [auth.Any].
//
// An expression that fails, as on a claim that is not there or a query that cannot be
// read, denies, and so does its opposite by [auth.Not]; as does one that takes too long, of
// which a client's input may be the cause. The access log has the reason as "auth.cel",
// without values. A path that a backend could read in another way is judged in all of
// them, as [auth.If] says.
func New(expression string) (auth.Rule, error) {
	p, err := compile(expression)
	if err != nil {
		return auth.Rule{}, fmt.Errorf("auth: cel: %w", err)
	}
	name := "cel " + strings.Join(strings.Fields(expression), " ") // on one line; the log quotes it
	if p.ofPrincipal {
		return auth.Check(name, p.holds), nil
	}
	return auth.CheckRequest(name, func(r *http.Request) (bool, error) { return p.holds(r, nil) }), nil
}

// Must is [New] for literals: it panics if there is an error.
func Must(expression string) auth.Rule {
	rule, err := New(expression)
	if err != nil {
		panic(err)
	}
	return rule
}

// program is a compiled expression. It may be evaluated concurrently.
type program struct {
	cel.Program
	ofPrincipal bool
}

func compile(expression string) (*program, error) {
	env, err := newEnv()
	if err != nil {
		return nil, err
	}
	ast, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil, issues.Err()
	}
	if !ast.OutputType().IsExactType(cel.BoolType) {
		return nil, fmt.Errorf("the expression is of type %s, not bool", ast.OutputType())
	}
	p, err := env.Program(ast,
		cel.EvalOptions(cel.OptOptimize),
		cel.CostLimit(maxCost),
		cel.InterruptCheckFrequency(checkEvery),
	)
	if err != nil {
		return nil, err
	}
	return &program{p, mentionsPrincipal(ast)}, nil
}

func newEnv() (*cel.Env, error) {
	texts := cel.ListType(cel.StringType)
	return cel.NewEnv(
		cel.Variable("request.method", cel.StringType),
		cel.Variable("request.host", cel.StringType),
		cel.Variable("request.path", cel.StringType),
		cel.Variable("request.query", cel.MapType(cel.StringType, texts)),
		cel.Variable("request.headers", cel.MapType(cel.StringType, cel.StringType)),
		cel.Variable("request.ip", cel.StringType),
		cel.Variable("request.time", cel.TimestampType),
		cel.Variable("principal.subject", cel.StringType),
		cel.Variable("principal.scopes", texts),
		cel.Variable("principal.roles", texts),
		cel.Variable("principal.claims", cel.MapType(cel.StringType, cel.DynType)),
		cel.OptionalTypes(),
		ext.Network(),
		cel.ParserExpressionSizeLimit(maxExpression),
		cel.ASTValidators(
			cel.ValidateRegexLiterals(), cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(),
			cel.ValidateComprehensionNestingLimit(maxNesting),
		),
	)
}

// mentionsPrincipal goes by what the type checker has found names to mean.
func mentionsPrincipal(ast *cel.Ast) bool {
	for _, ref := range ast.NativeRep().ReferenceMap() {
		if strings.HasPrefix(ref.Name, "principal.") {
			return true
		}
	}
	return false
}

func (p *program) holds(r *http.Request, principal *auth.Principal) (bool, error) {
	ctx, cancel := context.WithTimeout(r.Context(), maxTime)
	defer cancel()
	v, _, err := p.ContextEval(ctx, &facts{r: r, principal: principal})
	if err != nil {
		note(r, reason(err))
		return false, errors.New(reason(err))
	}
	holds, ok := v.Value().(bool)
	if !ok {
		return false, errors.New("not a bool")
	}
	return holds, nil
}

// reason returns why an evaluation failed. The errors of CEL quote what they fail on, and
// that may be a header field with a secret in it.
func reason(err error) string {
	text := err.Error()
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "interrupted"
	case strings.Contains(text, "cost limit exceeded"):
		return "too costly"
	case strings.HasPrefix(text, "no such key"):
		return "no such key"
	}
	return "failed"
}

func note(r *http.Request, reason string) {
	if s := exchange.From(r.Context()); s != nil {
		s.Notes = append(s.Notes, slog.String("auth.cel", reason))
	}
}
