//go:build race

package cache

// The race detector makes everything some ten times as expensive, and its own memory is not
// the cache's: what is about amounts has fewer keys with it.
const underRace = true
