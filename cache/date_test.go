package cache

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDatesOfRFC9110(t *testing.T) {
	want := time.Date(1994, time.November, 6, 8, 49, 37, 0, time.UTC)
	for _, s := range []string{
		"Sun, 06 Nov 1994 08:49:37 GMT",
		"Sunday, 06-Nov-94 08:49:37 GMT",
		"Sun Nov  6 08:49:37 1994",
		"sun, 06 nov 1994 08:49:37 gmt", // RFC 9111 section 4.2
	} {
		got, ok := parseDate(s)
		require.True(t, ok, s)
		require.True(t, want.Equal(got), "%s: %v", s, got)
	}
	leap, ok := parseDate("Sat, 31 Dec 2016 23:59:60 GMT")
	require.True(t, ok)
	require.Equal(t, 59, leap.Second())
}

func TestWhatIsNoDate(t *testing.T) {
	for _, s := range []string{
		"", "0", "-1", "never", "GMT", "1994-11-06T08:49:37Z",
		"Mon, 06 Nov 1994 08:49:37 GMT",     // it was a Sunday
		"Sun, 06 Nov 1994 08:49:37 PST",     // http.ParseTime reads an unknown zone as GMT in some forms
		"Sunday, 06-Nov-94 08:49:37 PST",    // as here
		"Sun, 06 Nov 1994 08:49:37 +0000",   //
		"Sun, 06 Nov 1994 08:49:37.123 GMT", // and takes fractions
		"Sun, 6 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 8:49:37 GMT",
		"Wed, 30 Feb 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
	} {
		_, ok := parseDate(s)
		require.False(t, ok, s)
	}
}

func TestTwoDigitsOfAYearTurnByThePresentDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it is the year 2000
		for s, year := range map[string]int{
			"Sunday, 01-Jan-50 00:00:00 GMT":   0, // 2050 began on a Saturday
			"Saturday, 01-Jan-50 00:00:00 GMT": 2050,
			"Monday, 01-Jan-51 00:00:00 GMT":   1951,
			"Friday, 01-Jan-99 00:00:00 GMT":   1999,
		} {
			got, ok := parseDate(s)
			require.Equal(t, year != 0, ok, s)
			if ok {
				require.Equal(t, year, got.Year(), s)
			}
		}
	})
}

func FuzzDate(f *testing.F) {
	f.Add("Sun, 06 Nov 1994 08:49:37 GMT")
	f.Add("Sunday, 06-Nov-94 08:49:37 GMT")
	f.Add("Sun Nov  6 08:49:37 1994")
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseDate(s)
		if !ok {
			return
		}
		again, ok := parseDate(got.Format(imfFixdate))
		require.True(t, ok)
		require.True(t, got.Equal(again))
	})
}
