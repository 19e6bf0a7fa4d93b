package cache_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func speaks(vary ...string) *origin {
	return &origin{serve: func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Vary"] = vary
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "in "+strings.Join(r.Header["Accept-Language"], "+"))
	}}
}

func TestEachVariantIsServedToWhomItFits(t *testing.T) { // RFC 9111 section 4.1
	o := speaks("accept-LANGUAGE, Accept", "Accept")
	rt := over(o)
	for range 2 {
		for _, language := range []string{"en", "de", "", "fr"} {
			require.Equal(t, "in "+language, get(t, rt, "/", "Accept-Language: "+language).body)
		}
		require.Equal(t, "in ", get(t, rt, "/").body, "absent is not empty")
	}
	require.Equal(t, 5, o.calls())
	require.Equal(t, "gateway; fwd=vary-miss", get(t, rt, "/", "Accept-Language: it").status())
}

func TestFieldsAreComparedByWhatTheyMean(t *testing.T) {
	o := speaks("Accept-Language")
	rt := over(o)
	get(t, rt, "/", "Accept-Language: en, de", "Accept: a")
	require.Contains(t, get(t, rt, "/", "Accept-Language:  en, de ", "Accept: b").status(), "hit")
	require.Contains(t, get(t, rt, "/", "Accept-Language: en", "Accept-Language: de").status(), "hit")
	require.Contains(t, get(t, rt, "/", "Accept-Language: DE,en").status(), "hit", "neither case nor order count")
	require.Contains(t, get(t, rt, "/", "Accept-Language: de, en;q=0.5").status(), "vary-miss", "but weights do")
}

func TestFieldsCannotReachIntoEachOther(t *testing.T) {
	o := speaks("A, Accept-Language")
	rt := over(o)
	get(t, rt, "/", `A: x"Accept-Language:"y`)
	require.Equal(t, "in y", get(t, rt, "/", "A: x", "Accept-Language: y").body)
}

func TestVariantsOfOneURLAreBounded(t *testing.T) {
	o := speaks("Accept-Language")
	rt := over(o)
	for i := range 17 {
		get(t, rt, "/", fmt.Sprintf("Accept-Language: l%d", i))
	}
	require.Contains(t, get(t, rt, "/", "Accept-Language: l1").status(), "hit")
	require.Contains(t, get(t, rt, "/", "Accept-Language: l16").status(), "hit")
	require.Contains(t, get(t, rt, "/", "Accept-Language: l0").status(), "vary-miss")
}

func TestAnOriginMayChangeWhatItVariesBy(t *testing.T) {
	vary := "Accept-Language"
	o := &origin{}
	o.serve = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		if vary != "" {
			w.Header().Set("Vary", vary)
		}
		_, _ = io.WriteString(w, r.Header.Get("Accept-Language")+r.Header.Get("Accept"))
	}
	rt := over(o)
	require.Equal(t, "en", get(t, rt, "/", "Accept-Language: en").body)
	vary = "Accept"
	require.Equal(t, "x", get(t, rt, "/", "Accept: x").body)
	require.Equal(t, "y", get(t, rt, "/", "Accept: y").body)
	vary = ""
	require.Equal(t, "z", get(t, rt, "/", "Accept: z").body)
	require.Equal(t, "z", get(t, rt, "/", "Accept: x").body)
}
