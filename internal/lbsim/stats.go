package lbsim

import (
	"slices"
	"time"
)

// Stats is results in numbers. What failed counts with the time that it took to fail.
type Stats struct {
	Count         int
	Failed        float64 // share
	P50, P90, P99 time.Duration
	Mean          time.Duration
	Late          time.Duration // p99 of the generator's own lateness
}

// Between returns the numbers of what came from one time to another.
func Between(results []Result, from, to time.Duration) Stats {
	var took, late []time.Duration
	failed, sum := 0, time.Duration(0)
	for _, r := range results {
		if r.At < from || r.At >= to {
			continue
		}
		took, late = append(took, r.Took), append(late, r.Late)
		sum += r.Took
		if !r.OK {
			failed++
		}
	}
	n := len(took)
	if n == 0 {
		return Stats{}
	}
	slices.Sort(took)
	slices.Sort(late)
	return Stats{
		Count: n, Failed: float64(failed) / float64(n), Mean: sum / time.Duration(n), Late: quantile(late, 0.99),
		P50: quantile(took, 0.5), P90: quantile(took, 0.9), P99: quantile(took, 0.99),
	}
}

// quantile returns what a share q of sorted does not exceed.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
