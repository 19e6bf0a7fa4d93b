package cache

import (
	"math/bits"
	"slices"
)

// sketch counts how often keys were asked for of late, by their hashes: a count-min
// sketch of four rows of counters of four bits, all of which are halved once there
// were ten requests for each key it is made for. It takes 8 bytes for a key, and
// says at times more than there was, never less.
type sketch struct {
	words []uint64 // each is four counters of each row
	seen  int
}

const (
	maxCount  = 15
	minSketch = 64 // keys; fewer are not worth counting
)

// rows are odd numbers that spread a hash differently for each row.
var rows = [4]uint64{0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f, 0x165667b19e3779f9, 0xd6e8feb86659fd93}

// at returns where the counter of row is: the word, and by how much it is shifted.
func (s *sketch) at(row int, hash uint64) (word *uint64, shift uint64) {
	h := hash * rows[row]
	return &s.words[h>>32&uint64(len(s.words)-1)], uint64(row)*16 + h>>62*4
}

// add counts n requests.
func (s *sketch) add(hash uint64, n uint32) {
	if s.words == nil {
		return
	}
	for row := range rows {
		word, shift := s.at(row, hash)
		more := min(uint64(n), maxCount-*word>>shift&maxCount)
		*word += more << shift
	}
	if s.seen += int(n); s.seen >= 10*len(s.words) {
		s.age()
	}
}

func (s *sketch) count(hash uint64) uint32 {
	least := uint64(maxCount)
	for row := range rows {
		word, shift := s.at(row, hash)
		least = min(least, *word>>shift&maxCount)
	}
	return uint32(least)
}

// age halves all counts, so that what was asked for once upon a time is forgotten.
func (s *sketch) age() {
	for i := range s.words {
		s.words[i] = s.words[i] >> 1 & 0x7777777777777777
	}
	s.seen /= 2
}

// fit makes the sketch one for n keys, a number that grows or shrinks by itself. Growing keeps
// the counts: a key's word is either where it was or that far behind, and both have it.
func (s *sketch) fit(n int) {
	if n < minSketch/8 {
		*s = sketch{}
		return
	}
	if n >= minSketch && s.words == nil {
		s.words = make([]uint64, 1<<bits.Len(uint(n-1)))
	}
	for s.words != nil && n > len(s.words) {
		s.words = slices.Concat(s.words, s.words)
	}
	if n < len(s.words)/8 {
		*s = sketch{words: make([]uint64, len(s.words)/4)}
	}
}

func (s *sketch) size() int64 { return 8 * int64(cap(s.words)) }
