package field_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/gatewright/gateway/internal/field"
)

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := func(d time.Duration) string { return time.Now().UTC().Add(d).Format(http.TimeFormat) }
		for value, want := range map[string]time.Duration{
			"0": 0, "120": 2 * time.Minute, at(time.Minute): time.Minute, at(-time.Hour): 0,
			"": -1, "-1": -1, "1.5": -1, "1m3": -1, "soon": -1, "99999999999": -1,
		} {
			got, ok := field.RetryAfter(http.Header{"Retry-After": {value}})
			assert.Equal(t, want >= 0, ok, value)
			if ok {
				assert.Equal(t, want, got, value)
			}
		}
	})
}

func TestHexIsOneDigit(t *testing.T) {
	for c, want := range map[byte]int{'0': 0, '9': 9, 'a': 10, 'f': 15, 'A': 10, 'F': 15, 'g': -1, '/': -1, ':': -1, '@': -1, '`': -1, 'G': -1} {
		assert.Equal(t, want, field.Hex(c), "%c", c)
	}
}
