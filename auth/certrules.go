package auth

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// certRules are the compiled rules of a Certificate.
type certRules struct {
	spiffe   []spiffePattern
	dns      []string // in lower case
	emails   []string // with the domain in lower case
	subjects []string
}

func newCertRules(c Certificate) (certRules, error) {
	rules := certRules{subjects: slices.Clone(c.Subjects)}
	var faults []error
	for _, text := range c.SPIFFE {
		p, err := newSPIFFEPattern(text)
		rules.spiffe = append(rules.spiffe, p)
		faults = append(faults, err)
	}
	for _, text := range c.DNS {
		name := strings.ToLower(text)
		if !isDNSName(strings.TrimPrefix(name, "*.")) {
			faults = append(faults, fmt.Errorf("DNS name %q is neither a name nor *. and a name", text))
		}
		rules.dns = append(rules.dns, name)
	}
	for _, text := range c.Emails {
		local, domain, ok := strings.Cut(text, "@")
		if !ok || local == "" || !isDNSName(strings.ToLower(domain)) {
			faults = append(faults, fmt.Errorf("address %q is not one", text))
		}
		rules.emails = append(rules.emails, foldEmail(text))
	}
	if slices.Contains(c.Subjects, "") {
		faults = append(faults, errors.New("an empty name in Subjects"))
	}
	return rules, errors.Join(faults...)
}

func (c certRules) none() bool {
	return len(c.spiffe)+len(c.dns)+len(c.emails)+len(c.subjects) == 0
}

// admit returns the name by which a certificate may come.
func (c certRules) admit(n certNames) (string, bool) {
	if c.none() {
		return n.first(), true
	}
	if n.id != "" && slices.ContainsFunc(c.spiffe, func(p spiffePattern) bool { return p.matches(n.id) }) {
		return n.id, true
	}
	for _, name := range n.dns {
		if c.admitsDNS(name) {
			return name, true
		}
	}
	for _, email := range n.emails {
		if slices.Contains(c.emails, foldEmail(email)) {
			return email, true
		}
	}
	return n.subject, slices.ContainsFunc(c.subjects, n.isSubject)
}

// admitsDNS goes label by label: "*" in a rule is one. A certificate for a wildcard is for
// servers, and names nobody.
func (c certRules) admitsDNS(name string) bool {
	name = strings.ToLower(name)
	if !isDNSName(name) {
		return false
	}
	_, parent, _ := strings.Cut(name, ".")
	return slices.Contains(c.dns, name) || slices.Contains(c.dns, "*."+parent)
}

// certNames are the names of a certificate that rules can be about.
type certNames struct {
	id          string // its SPIFFE ID; empty: it has none
	dns, emails []string
	subject     string // its whole name; empty: it has none, or one that cannot be read
	common      string // the common name; empty: none, or more than one
}

func namesOf(c *x509.Certificate) certNames {
	n := certNames{dns: c.DNSNames, emails: c.EmailAddresses, subject: nameText(c.RawSubject)}
	n.id, _ = spiffeID(c)
	count := 0
	for _, a := range c.Subject.Names {
		if a.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 3}) {
			count++
		}
	}
	if count == 1 { // of several another reader could take one that we did not check
		n.common = c.Subject.CommonName
	}
	return n
}

// isSubject reports whether a rule is n's common name, or its whole name if it has "=". The
// two must not mix: a common name may be chosen to read like somebody's whole name.
func (n certNames) isSubject(rule string) bool {
	if strings.Contains(rule, "=") {
		return rule == n.subject
	}
	return rule == n.common
}

// first returns the name that says most. One that does not have the form of its kind is
// none: an authority may let people choose a DNS name that reads like another's whole name.
func (n certNames) first() string {
	switch {
	case n.id != "":
		return n.id
	case n.subject != "":
		return n.subject
	}
	if i := slices.IndexFunc(n.dns, func(s string) bool { return isDNSName(strings.ToLower(s)) }); i >= 0 {
		return n.dns[i]
	}
	if i := slices.IndexFunc(n.emails, isEmail); i >= 0 {
		return n.emails[i]
	}
	return ""
}

// isEmail reports whether s is an address that does not read like a name of another kind.
func isEmail(s string) bool {
	local, domain, _ := strings.Cut(s, "@")
	return local != "" && !strings.ContainsAny(local, `=,:/"\ `) && isDNSName(strings.ToLower(domain))
}

// nameText returns a distinguished name as text (RFC 2253), in the certificate's order:
// pkix.Name has another, in which different names look the same.
func nameText(der []byte) string {
	var name pkix.RDNSequence
	if rest, err := asn1.Unmarshal(der, &name); err != nil || len(rest) > 0 {
		return ""
	}
	return name.String()
}

// foldEmail lets the case of the domain be, and not that of what is before it (RFC 5321
// section 2.4).
func foldEmail(s string) string {
	local, domain, _ := strings.Cut(s, "@")
	return local + "@" + strings.ToLower(domain)
}

// isDNSName reports whether s is a host name in lower case, without a dot at the end.
func isDNSName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || !hasNameBytes(label) || strings.ToLower(label) != label {
			return false
		}
	}
	return true
}
