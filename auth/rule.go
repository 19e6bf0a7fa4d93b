package auth

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/exchange"
)

// Rule is a condition that [Allow] puts to a request and who it speaks for. Rules are
// values: they may be kept, combined and used in many places. The zero Rule is not a rule:
// [Allow], [All], [Any] and [Not] panic if they are given it.
type Rule struct {
	text  string // for the log
	judge func(r *http.Request, p *Principal) verdict
}

// verdict is what a rule says. The zero verdict denies.
type verdict struct {
	passed bool
	nobody bool     // it might have passed for somebody
	err    error    // why the rule could not be judged, which its opposite cannot either; nil: it was
	scopes []string // those that it asks for
}

// String describes the rule, as the log does when it denies.
func (v Rule) String() string { return v.text }

// Named returns v with another description.
func (v Rule) Named(name string) Rule {
	v.text = name
	return v
}

// Holds reports whether the rule holds for r and the principal of its context: as a
// [gateway.Predicate], that a [gateway.When] can choose a handler by. It panics for the
// zero Rule.
func (v Rule) Holds(r *http.Request) bool { return v.judge(r, From(r.Context())).passed }

// Allow returns a middleware that lets a request pass if all of the rules hold. Give it
// behind [Require]. The rules are asked in order, and the first that denies decides the
// answer: 401 and the challenges of Require if it asks for somebody and the request speaks
// for nobody; otherwise 403, which after a bearer token says insufficient_scope and the
// scopes that are needed if it is those that are missing (RFC 6750 section 3.1). The log's
// error names the rule. It panics if there is no rule.
func Allow(rules ...Rule) gateway.Middleware {
	rules = checkRules("allow", rules)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, r := exchange.Join(w, complete(r))
			p := From(r.Context())
			for _, rule := range rules {
				if v := rule.judge(r, p); !v.passed {
					answer(x, r, v.challenges(x, p), v.problem(rule))
					return
				}
			}
			next.ServeHTTP(x, r)
		})
	}
}

func (v verdict) problem(rule Rule) error {
	cause := fmt.Errorf("auth: denied by %s", rule)
	if v.err != nil {
		cause = fmt.Errorf("%w: undecided: %w", cause, v.err)
	}
	if v.nobody {
		return &gateway.Problem{Status: http.StatusUnauthorized, Detail: "This resource needs credentials.", Err: cause}
	}
	return &gateway.Problem{Status: http.StatusForbidden, Detail: "The credentials do not allow this.", Err: cause}
}

func (v verdict) challenges(x *exchange.Exchange, p *Principal) []string {
	switch {
	case v.nobody && x.Challenge == nil:
		return []string{defaultChallenge}
	case v.nobody:
		return x.Challenge
	case v.scopes != nil && (p.kind == bearerToken || p.kind == unknown):
		return []string{bearerError("insufficient_scope", "The access token is good for less") + `, scope="` + strings.Join(v.scopes, " ") + `"`}
	}
	return nil
}

// If returns the rule that p holds of the request: one of package gateway's, such as
// ClientIP, Method, Path or Between, or one of your own. Whoever it is, 403 if not. To the
// log it is "a predicate": give it a name by [Rule.Named].
//
// A backend may read a path with an encoded slash or a ";" in it in another way than we do.
// Of such a request p is asked for every way there is to read it, and if the answers are not
// all the same the rule is undecided, as a [Check] with an error is.
func If(p gateway.Predicate) Rule {
	if p == nil {
		panic(errors.New("auth: if: nil predicate"))
	}
	return CheckRequest("a predicate", func(r *http.Request) (bool, error) { return p(r), nil })
}

// CheckRequest is [Check] for a function of the request alone, which is asked for nobody too.
func CheckRequest(name string, holds func(r *http.Request) (bool, error)) Rule {
	if holds == nil {
		panic(errors.New("auth: check request: nil function"))
	}
	return Rule{name, func(r *http.Request, _ *Principal) verdict { return ofEveryReading(r, holds) }}
}

// Check returns the rule that holds returns true of the request and who it speaks for.
// It is asked only for somebody, never with a nil Principal; for nobody the rule denies.
// holds must change neither, and may be called concurrently, and several times for a path
// that can be read in several ways, as [If] says. The name is for the log.
//
// An error is that it cannot be told whether the rule holds: then neither it nor its
// opposite by [Not] lets anybody pass, while [Any] still does if another of its rules holds.
// The error is for the log; the answer is 403.
func Check(name string, holds func(r *http.Request, p *Principal) (bool, error)) Rule {
	if holds == nil {
		panic(errors.New("auth: check: nil function"))
	}
	return ofSomebody(name, func(r *http.Request, p *Principal) verdict {
		return ofEveryReading(r, func(r *http.Request) (bool, error) { return holds(r, p) })
	})
}

// ofSomebody returns the rule that judges who the request speaks for, if that is somebody.
func ofSomebody(name string, judge func(r *http.Request, p *Principal) verdict) Rule {
	return Rule{name, func(r *http.Request, p *Principal) verdict {
		if p == nil {
			return verdict{nobody: true}
		}
		return judge(r, p)
	}}
}

// Authenticated is the rule that the request speaks for somebody.
var Authenticated = ofSomebody("authenticated", func(*http.Request, *Principal) verdict { return verdict{passed: true} })

// Scope returns the rule that the credential is good for all of the scopes: each is needed,
// where of a [Role]'s one is enough. For one of several, join them by [Any]. It panics if
// there is none, or one is not a scope-token (RFC 6749 section 3.3).
func Scope(scopes ...string) Rule {
	if len(scopes) == 0 || slices.ContainsFunc(scopes, func(s string) bool { return !isScope(s) }) {
		panic(fmt.Errorf("auth: scope: none, or not valid: %q", scopes))
	}
	scopes = slices.Clone(scopes)
	return Rule{fmt.Sprintf("scope %q", scopes), func(_ *http.Request, p *Principal) verdict {
		if p == nil {
			return verdict{nobody: true, scopes: scopes}
		}
		if slices.ContainsFunc(scopes, func(s string) bool { return !p.HasScope(s) }) {
			return verdict{scopes: scopes}
		}
		return verdict{passed: true}
	}}
}

func isScope(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// Role returns the rule that the principal has one of the roles: one is enough, where
// [Scope] wants all. They are its Roles, which a [JWT] and an [Introspection] find among the
// claims.
func Role(roles ...string) Rule {
	if len(roles) == 0 {
		panic(errors.New("auth: role: none"))
	}
	roles = slices.Clone(roles)
	return ofSomebody(fmt.Sprintf("role %q", roles), func(_ *http.Request, p *Principal) verdict {
		switch {
		case slices.ContainsFunc(p.Roles, func(s string) bool { return slices.Contains(roles, s) }):
			return verdict{passed: true}
		case p.unclear:
			return verdict{err: errShape}
		}
		return verdict{}
	})
}

// Claim returns the rule that a claim has one of the values, or has one of them as a
// member if it is a list: one is enough, where [Scope] wants all. Without values it is the
// rule that the claim is there and is not null. Names are those of [Principal.Claim], and
// values are compared as it writes them.
func Claim(name string, values ...string) Rule {
	values = slices.Clone(values)
	return ofSomebody(fmt.Sprintf("claim %q %q", name, values), func(_ *http.Request, p *Principal) verdict {
		v := p.claim(name)
		if len(values) == 0 {
			return verdict{passed: v != nil && v != ""}
		}
		return among(holdsOne(v, values), v)
	})
}

// holdsOne reports whether a claim is one of the wanted values or has it as a member.
func holdsOne(claim any, wanted []string) bool {
	is := func(v any) bool {
		s, ok := text(v)
		return ok && slices.Contains(wanted, s)
	}
	switch v := claim.(type) {
	case []any:
		return slices.ContainsFunc(v, is)
	case []string:
		return slices.ContainsFunc(v, func(s string) bool { return slices.Contains(wanted, s) })
	}
	return is(claim)
}

// All returns the rule that all of the rules hold. It denies as the first does that does
// not. It panics if there is no rule.
func All(rules ...Rule) Rule {
	rules = checkRules("all", rules)
	return Rule{describe("all", rules), func(r *http.Request, p *Principal) verdict {
		for _, rule := range rules {
			if v := rule.judge(r, p); !v.passed {
				return v
			}
		}
		return verdict{passed: true}
	}}
}

// Any returns the rule that one of the rules holds. If none does, and one of them asks for
// credentials, so does this; and it names the scopes that the first asks for that asks for
// any. It panics if there is no rule.
func Any(rules ...Rule) Rule {
	rules = checkRules("any", rules)
	return Rule{describe("any", rules), func(r *http.Request, p *Principal) verdict {
		var denied verdict
		for _, rule := range rules {
			v := rule.judge(r, p)
			if v.passed {
				return v
			}
			denied.nobody = denied.nobody || v.nobody
			denied.err = cmp.Or(denied.err, v.err)
			if denied.scopes == nil {
				denied.scopes = v.scopes
			}
		}
		return denied
	}}
}

// Not returns the rule that rule does not hold. For nobody, whom a rule of the
// principal cannot judge, neither that rule nor its opposite holds; nor does either of one
// that is undecided (see [Check]).
func Not(rule Rule) Rule {
	checkRules("not", []Rule{rule})
	return Rule{"not " + rule.String(), func(r *http.Request, p *Principal) verdict {
		v := rule.judge(r, p)
		if v.nobody || v.err != nil {
			return verdict{nobody: v.nobody, err: v.err}
		}
		return verdict{passed: !v.passed}
	}}
}

func checkRules(name string, rules []Rule) []Rule {
	if len(rules) == 0 || slices.ContainsFunc(rules, func(rule Rule) bool { return rule.judge == nil }) {
		panic(fmt.Errorf("auth: %s: no rule, or a zero one", name))
	}
	return slices.Clone(rules)
}

func describe(name string, rules []Rule) string {
	parts := make([]string, len(rules))
	for i, rule := range rules {
		parts[i] = rule.String()
	}
	return name + "(" + strings.Join(parts, ", ") + ")"
}
