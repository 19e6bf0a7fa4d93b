package compose_test

import (
	"testing"

	"github.com/gatewright/gateway/compose"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRSSAndAtomBecomeTheSame(t *testing.T) {
	const rss = `<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom" xmlns:media="http://search.yahoo.com/mrss/">
<channel>
  <atom:link href="https://shop.test/feed" rel="self"/>
  <title>Shop &amp; news</title><link>https://shop.test/</link><description>All</description>
  <item>
    <media:title>picture</media:title><title>Tea</title><link>https://shop.test/tea</link><guid isPermaLink="false">1</guid>
    <pubDate>Sat, 21 Nov 2026 09:00:00 +0100</pubDate><description><![CDATA[<b>Green</b>]]></description>
  </item>
  <item><title>Milk</title></item>
</channel></rss>`
	const atom = `<feed xmlns="http://www.w3.org/2005/Atom" xmlns:t="u">
  <link rel="self" href="https://shop.test/feed"/><link href="https://shop.test/"/>
  <title>Shop &amp; news</title><t:title>no</t:title>
  <entry>
    <id>1</id><title>Tea</title><link rel="enclosure" href="x"/><link rel="alternate" href="https://shop.test/tea"/>
    <updated>2026-11-21T08:00:00Z</updated><summary type="html">&lt;b&gt;Green&lt;/b&gt;</summary><content>long</content>
  </entry>
  <entry><title type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><b>Milk</b></div></title></entry>
</feed>`
	const want = `{"title":"Shop & news","link":"https://shop.test/","items":[` +
		`{"id":"1","title":"Tea","link":"https://shop.test/tea","published":"2026-11-21T08:00:00Z","summary":"<b>Green</b>"},{"title":"Milk"}]}`
	for _, document := range []string{rss, atom} {
		got, err := compose.RSS{}.Decode([]byte(document))
		require.NoError(t, err)
		assert.Equal(t, want, string(got))
	}
}

func TestFeedsWithLittleInThem(t *testing.T) {
	for document, want := range map[string]string{
		`<rss><channel/></rss>`: `{"items":[]}`,
		`<feed/>`:               `{"items":[]}`,
		`<a:feed xmlns:a="u"><a:title>t</a:title><a:entry/><entry/></a:feed>`:                                                                     `{"title":"t","items":[{}]}`,
		`<feed><entry><published>2026-01-02T03:04:05+02:00</published><updated>2026-11-21T08:00:00Z</updated><content>c</content></entry></feed>`: `{"items":[{"published":"2026-01-02T01:04:05Z","summary":"c"}]}`,
	} {
		got, err := compose.RSS{}.Decode([]byte(document))
		require.NoError(t, err)
		assert.Equal(t, want, string(got))
	}
	for _, document := range []string{`<html><body/></html>`, `<rss/>`, `<rdf:RDF xmlns:rdf="u"/>`, `<channel/>`} {
		_, err := compose.RSS{}.Decode([]byte(document))
		assert.ErrorContains(t, err, "neither", document)
	}
}

func TestTimesOfFeeds(t *testing.T) {
	for written, want := range map[string]string{
		"Sat, 07 Sep 2002 00:00:01 GMT": "2002-09-07T00:00:01Z", "Sat, 7 Sep 2002 00:00:01 EST": "2002-09-07T05:00:01Z",
		"7 Sep 2002 00:00:01 +0130": "2002-09-06T22:30:01Z", "Sat, 07 Sep 02 00:00 PDT": "2002-09-07T07:00:00Z", "Sat, 07 Sep 2002 00:00:01 UT": "2002-09-07T00:00:01Z",
		"Sat, 07 Sep 2002 00:00:01 CET": "", "yesterday": "", "1031356801": "", "GMT": "", " GMT": "",
	} {
		got, err := compose.RSS{}.Decode([]byte(`<rss><channel><item><pubDate>` + written + `</pubDate></item></channel></rss>`))
		require.NoError(t, err)
		if want != "" {
			want = `"published":"` + want + `"`
		}
		assert.Equal(t, `{"items":[{`+want+`}]}`, string(got), written)
	}
}
