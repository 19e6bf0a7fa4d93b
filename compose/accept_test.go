package compose

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestXMLIsForClientsThatPreferIt(t *testing.T) {
	for accept, want := range map[string]bool{
		"":                                      false,
		"*/*":                                   false,
		"application/*":                         false,
		"application/json":                      false,
		"application/json, application/xml":     false,
		"application/xml, application/json":     false,
		"text/html":                             false,
		"application/xml":                       true,
		"Application/XML":                       true,
		" application/xml ; charset=\"UTF-8\" ": true,
		"application/xml;charset=iso-8859-1":    false,
		"application/xml;version=2":             false,
		"application/xml;q=0":                   false,
		"application/xml;q=0, */*":              false,
		"application/xml;q=0.001":               true,
		"application/xml, */*":                  false, // both are as good
		"application/xml, */*;q=0.1":            true,
		"application/json;q=0.5, application/xml;q=0.6":                         true,
		"application/json;q=0.5, application/*":                                 true,
		"application/xml;q=0.5, application/*":                                  false,
		"application/json;q=0, */*":                                             true,
		"text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8":    true, // as browsers send
		"application/xml;q=0.5, application/json;q=0.4, application/json;q=0.6": false,
		"application/xml;q=2":                                                   false,
		"application/xml;q=-1":                                                  false,
		"application/xml;q=0.1234":                                              false,
		"application/xml;q=NaN":                                                 false,
		"application/xml;q=1.001":                                               false,
		"application/xml;q=0.+1":                                                false,
		"application/xml;q=":                                                    false,
		"application/xml;;q=1.000;":                                             true,
		"application/xml;q=0.9;ext=1":                                           true,
		",,;,application/xml":                                                   true,
		"application":                                                           false,
	} {
		assert.Equal(t, want, prefersXML([]string{accept}), "%q", accept)
	}
	assert.False(t, prefersXML(nil))
	assert.True(t, prefersXML([]string{"application/json;q=0.1", "application/xml"}), "fields are one list")
}

func FuzzPrefersXML(f *testing.F) {
	f.Add("application/xml;q=0.9, */*;q=0.8")
	f.Add("application/json;q=1.000;a=\"b,c\"")
	f.Fuzz(func(t *testing.T, accept string) {
		if prefersXML([]string{accept}) && !strings.Contains(strings.ToLower(accept), "application/xml") && !strings.Contains(accept, "*") {
			t.Fatalf("%q is no wish for XML", accept)
		}
		if q := quality([]string{accept}, "application/json"); q < 0 || q > 1000 {
			t.Fatalf("%q has weight %d", accept, q)
		}
	})
}
