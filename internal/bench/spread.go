package main

import (
	"fmt"
	"slices"
)

// spread is a quantity that was measured several times. Nil is one that never was.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func spreadOf(values []float64) *spread {
	n := len(values)
	if n == 0 {
		return nil
	}
	values = slices.Sorted(slices.Values(values))
	return &spread{(values[(n-1)/2] + values[n/2]) / 2, values[0], values[n-1]}
}

// median is a number for JSON: null if there is none.
func (s *spread) median() *float64 {
	if s == nil {
		return nil
	}
	return &s.Median
}

func (s *spread) format(decimals int) string {
	if s == nil {
		return "-"
	}
	return fmt.Sprintf("%.*f (%.*f..%.*f)", decimals, s.Median, decimals, s.Min, decimals, s.Max)
}
