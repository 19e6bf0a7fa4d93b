package cache_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func date(d time.Duration) string { return time.Now().UTC().Add(d).Format(http.TimeFormat) }

func TestAResponseIsServedWhileItIsFresh(t *testing.T) {
	for _, c := range []struct {
		name  string
		fresh time.Duration // 0: the second request reaches the origin at once
		lines func() []string
	}{
		{"max-age, RFC 9111 5.2.2.1", time.Minute, lines("Cache-Control: max-age=60")},
		{"s-maxage before max-age, 5.2.2.10", time.Minute, lines("Cache-Control: max-age=1, s-maxage=60")},
		{"s-maxage=0 before max-age", 0, lines("Cache-Control: max-age=60, s-maxage=0")},
		{"max-age before Expires, 5.3", time.Minute, func() []string {
			return []string{"Cache-Control: max-age=60", "Expires: " + date(time.Hour)}
		}},
		{"Expires, 5.3", time.Minute, func() []string { return []string{"Expires: " + date(time.Minute)} }},
		{"Expires by the origin's clock", time.Minute, func() []string {
			return []string{"Date: " + date(time.Hour), "Expires: " + date(time.Hour+time.Minute)}
		}},
		{"Expires 0", 0, lines("Expires: 0")},
		{"two Expires", 0, func() []string { return []string{"Expires: " + date(time.Hour), "Expires: " + date(time.Minute)} }},
		{"Expires in another zone", 0, lines("Expires: Saturday, 01-Jan-50 00:00:00 PST")},
		{"an invalid max-age hides Expires", 0, func() []string {
			return []string{"Cache-Control: max-age=x", "Expires: " + date(time.Hour)}
		}},
		{"a tenth is guessed, 4.2.2", time.Hour, func() []string { return []string{"Last-Modified: " + date(-10*time.Hour)} }},
		{"a day at most is guessed, 4.2.2", 24 * time.Hour, func() []string { return []string{"Last-Modified: " + date(-1000*time.Hour)} }},
		{"nothing is guessed of what is in the future", 0, func() []string { return []string{"Last-Modified: " + date(time.Hour)} }},
		{"Age, 4.2.3", 20 * time.Second, lines("Cache-Control: max-age=60", "Age: 40")},
		{"the first Age, 5.1", 59 * time.Second, lines("Cache-Control: max-age=60", "Age: 1, 40")},
		{"an Age that is none, 5.1", time.Minute, lines("Cache-Control: max-age=60", "Age: -40")},
		{"apparent age, 4.2.3", 50 * time.Second, func() []string {
			return []string{"Cache-Control: max-age=60", "Date: " + date(-10*time.Second)}
		}},
		{"a Date that is none, RFC 9110 6.6.1", time.Minute, lines("Cache-Control: max-age=60", "Date: today")},
		{"no-cache, 5.2.2.4", 0, lines("Cache-Control: max-age=60, no-cache", `Etag: "x"`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := says(c.lines()...)
				rt := over(o)
				require.Equal(t, "gateway; fwd=uri-miss", get(t, rt, "/").status())
				if c.fresh > 0 {
					time.Sleep(c.fresh - time.Second)
					hit := get(t, rt, "/")
					require.Equal(t, "gateway; hit; ttl=1", hit.status())
					require.Equal(t, "answer 1", hit.body)
					time.Sleep(time.Second)
				}
				get(t, rt, "/")
				require.Equal(t, 2, o.calls())
			})
		})
	}
}

func lines(l ...string) func() []string { return func() []string { return l } }

func TestTheTimeThatAResponseTookCountsToItsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{serve: func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(10 * time.Second)
			w.Header().Set("Cache-Control", "max-age=60")
			w.Header().Set("Age", "5")
			_, _ = io.WriteString(w, "slow")
		}}
		rt := over(o)
		get(t, rt, "/")
		time.Sleep(2 * time.Second)
		require.Equal(t, "17", get(t, rt, "/").Header.Get("Age"), "RFC 9111 section 4.2.3")
	})
}

func TestWhatTheRequestAsksOfTheCache(t *testing.T) {
	const stored = "Cache-Control: max-age=60"
	for _, c := range []struct {
		name   string
		stored []string
		after  time.Duration
		asked  []string
		want   string // Cache-Status
	}{
		{"no-cache, RFC 9111 5.2.1.4", []string{stored}, 0, []string{"Cache-Control: no-cache"}, "gateway; fwd=request"},
		{"Pragma, 5.4", []string{stored}, 0, []string{"Pragma: no-cache"}, "gateway; fwd=request"},
		{"no-store, 5.2.1.5", []string{stored}, 0, []string{"Cache-Control: no-store"}, "gateway; fwd=bypass"},
		{"max-age met, 5.2.1.1", []string{stored}, 10 * time.Second, []string{"Cache-Control: max-age=10"}, "gateway; hit; ttl=50"},
		{"max-age missed", []string{stored}, 11 * time.Second, []string{"Cache-Control: max-age=10"}, "gateway; fwd=request"},
		{"min-fresh met, 5.2.1.3", []string{stored}, 10 * time.Second, []string{"Cache-Control: min-fresh=50"}, "gateway; hit; ttl=50"},
		{"min-fresh missed", []string{stored}, 11 * time.Second, []string{"Cache-Control: min-fresh=50"}, "gateway; fwd=request"},
		{"only-if-cached, 5.2.1.7", []string{stored}, 0, []string{"Cache-Control: only-if-cached"}, "gateway; hit; ttl=60"},
		{"only-if-cached, stale", []string{stored, `Etag: "x"`}, time.Minute, []string{"Cache-Control: only-if-cached"}, "gateway; detail=only-if-cached"},
		{"max-stale, 5.2.1.2", []string{stored, `Etag: "x"`}, 70 * time.Second, []string{"Cache-Control: max-stale=10"}, "gateway; hit; ttl=-10"},
		{"max-stale without limit", []string{stored, `Etag: "x"`}, time.Hour, []string{"Cache-Control: max-stale"}, "gateway; hit; ttl=-3540"},
		{"max-stale missed", []string{stored, `Etag: "x"`}, 71 * time.Second, []string{"Cache-Control: max-stale=10"}, "gateway; fwd=stale"},
		{"max-stale and max-age", []string{stored, `Etag: "x"`}, 70 * time.Second, []string{"Cache-Control: max-stale, max-age=60"}, "gateway; fwd=request"},
		{"must-revalidate, 5.2.2.2", []string{stored + ", must-revalidate", `Etag: "x"`}, 70 * time.Second, []string{"Cache-Control: max-stale"}, "gateway; fwd=stale"},
		{"proxy-revalidate, 5.2.2.8", []string{stored + ", proxy-revalidate", `Etag: "x"`}, 70 * time.Second, []string{"Cache-Control: max-stale"}, "gateway; fwd=stale"},
		{"s-maxage is proxy-revalidate, 5.2.2.10", []string{"Cache-Control: s-maxage=60", `Etag: "x"`}, 70 * time.Second, []string{"Cache-Control: max-stale"}, "gateway; fwd=stale"},
		{"no-cache is never stale", []string{stored + ", no-cache", `Etag: "x"`}, 0, []string{"Cache-Control: max-stale"}, "gateway; fwd=stale"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := over(says(c.stored...))
				get(t, rt, "/")
				time.Sleep(c.after)
				require.Equal(t, c.want, get(t, rt, "/", c.asked...).status())
			})
		})
	}
}

func TestOnlyIfCachedNeverReachesTheOrigin(t *testing.T) {
	o := says("Cache-Control: max-age=60")
	rt := over(o)
	for _, more := range []string{"Accept: */*", "Range: bytes=0-1"} {
		res := get(t, rt, "/", "Cache-Control: only-if-cached", more)
		require.Equal(t, 504, res.StatusCode)
		require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
		require.Contains(t, res.body, "not cached")
	}
	require.Zero(t, o.calls())
}
