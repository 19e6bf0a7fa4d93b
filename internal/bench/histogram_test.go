package main

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestQuantilesAreRightToThreePercent(t *testing.T) {
	for _, unit := range []time.Duration{1, time.Microsecond, time.Millisecond, time.Second} {
		var a, b histogram
		for i := range time.Duration(1000) {
			of := &a
			if i%2 == 0 {
				of = &b
			}
			of.add((i + 1) * unit)
		}
		a.merge(&b)
		assert.Equal(t, 1000, a.count())
		for _, q := range []float64{0.01, 0.5, 0.99, 1} {
			assert.InEpsilon(t, q*1000*float64(unit), float64(a.quantile(q)), 0.03)
		}
	}
}

func TestAHistogramTakesWhatever(t *testing.T) {
	var h histogram
	assert.Zero(t, h.quantile(0.5), "empty")
	for _, d := range []time.Duration{0, -1, math.MinInt64, math.MaxInt64} {
		h.add(d)
	}
	assert.Equal(t, 4, h.count())
	assert.Zero(t, h.quantile(0.5))
	assert.Greater(t, h.quantile(1), time.Hour)
}
