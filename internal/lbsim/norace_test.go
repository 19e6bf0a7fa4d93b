//go:build !race

package lbsim_test

const underRace = false
