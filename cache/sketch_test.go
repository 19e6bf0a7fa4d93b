package cache

import (
	"hash/maphash"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var sketchSeed = maphash.MakeSeed()

func hashOf(i int) uint64 { return maphash.String(sketchSeed, strconv.Itoa(i)) }

func TestSketchCountsNoLessThanThereWas(t *testing.T) {
	var s sketch
	s.fit(1000)
	tooMany := 0
	for i := range 1000 {
		s.add(hashOf(i), uint32(i%4))
	}
	for i := range 1000 {
		count := s.count(hashOf(i))
		require.GreaterOrEqual(t, count, uint32(i%4))
		if count > uint32(i%4) {
			tooMany++
		}
	}
	assert.Less(t, tooMany, 100)
}

func TestSketchCountsUpToItsMostWithoutTouchingOthers(t *testing.T) {
	var s sketch
	s.fit(minSketch)
	s.words[0], s.words[1] = 0, 0
	s.add(1, 9)
	s.add(1, 9)
	s.add(1, 9)
	assert.Equal(t, uint32(maxCount), s.count(1))
	sum := 0
	for _, word := range s.words {
		for ; word > 0; word >>= 4 {
			sum += int(word & maxCount)
		}
	}
	assert.Equal(t, 4*maxCount, sum, "one counter a row")
}

func TestSketchForgets(t *testing.T) {
	var s sketch
	s.fit(minSketch)
	s.add(hashOf(-1), maxCount)
	for i := range 100 * minSketch {
		s.add(hashOf(i%3), 1)
	}
	assert.Less(t, s.count(hashOf(-1)), uint32(2))
}

func TestSketchGrowsWithItsCountsAndShrinks(t *testing.T) {
	var s sketch
	s.fit(minSketch - 1)
	assert.Zero(t, s.size())
	s.add(hashOf(1), 1) // counts nothing, and does no harm
	s.fit(minSketch)
	for i := range 20 {
		s.add(hashOf(i), uint32(i%8))
	}
	s.fit(1000)
	assert.EqualValues(t, 8*1024, s.size())
	for i := range 20 {
		assert.GreaterOrEqual(t, s.count(hashOf(i)), uint32(i%8))
	}
	s.fit(100)
	assert.EqualValues(t, 8*256, s.size())
	s.fit(0)
	assert.Zero(t, s.size())
}

func TestBalanceGivesTheWindowWhatItLacked(t *testing.T) {
	b := balance{share: 1000, part: firstWindow}
	b.lost(1<<20, true)
	b.missed(1<<20, 100)
	assert.InDelta(t, firstWindow, b.part, 1e-9, "nothing is remembered for few items")
	b.fit(64)
	for i := range uint64(1000) {
		b.lost(i<<20, true)
		b.missed(i<<20, 100)
	}
	assert.InDelta(t, maxWindow, b.part, 1e-9)
	b.missed(7<<20, 100)
	for i := range uint64(1000) {
		b.lost(i<<20, false)
		b.missed(i<<20+1, 100) // another's hash but for the bit that says who lost it
		b.missed(i<<20+2, 100)
	}
	assert.InDelta(t, minWindow, b.part, 1e-9)
}
