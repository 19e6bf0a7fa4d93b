//go:build race

package lbsim_test

// The race detector makes a request some ten times as expensive, and finds a race in one
// load or in none: what differs only in numbers is played without it.
const underRace = true
