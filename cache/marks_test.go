package cache

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTablesOfPurgesAreBoundedAndForgetTowardsTooMuch(t *testing.T) {
	start := time.Now()
	at := func(i int) time.Time { return start.Add(time.Duration(i) * time.Second) }
	var p purges
	for i := range 100 {
		p.change(func(m *marks) {
			for j := i * 100; j < (i+1)*100; j++ {
				m.uris[fmt.Sprint("/", j)], m.groups[fmt.Sprint(j)], m.prefixes[fmt.Sprint("/p", j)] = at(j), at(j), at(j)
			}
		})
	}
	m := p.known.Load()
	require.LessOrEqual(t, len(m.uris), maxPurges)
	require.LessOrEqual(t, len(m.groups), maxPurges)
	require.LessOrEqual(t, len(m.prefixes), maxPrefixes)
	for i := 0; i < 10_000; i += 37 {
		for _, e := range []*entry{{uri: fmt.Sprint("/", i)}, {groups: []string{fmt.Sprint(i)}}, {uri: fmt.Sprint("/p", i, "/x")}} {
			e.born = at(i)
			require.False(t, p.holds(e), "%d %v", i, e)
		}
	}
	require.True(t, p.holds(&entry{uri: "/1", born: at(10_000)}))
}

func TestMarksThatAreRubbishAreIgnored(t *testing.T) {
	good := (&marks{all: time.Now(), uris: map[string]time.Time{"/a": time.Now()}}).encode("purged n")
	read, ok := decodeMarks(good, "purged n")
	require.True(t, ok)
	require.Contains(t, read.uris, "/a")
	for name, bad := range map[string][]byte{
		"nothing":         nil,
		"an entry":        (&entry{key: "purged n", status: 200}).encode(),
		"an index":        (&index{key: "purged n"}).encode(),
		"another's":       (&marks{}).encode("purged m"),
		"cut":             good[:len(good)-1],
		"more than there": seal(append(append([]byte{}, good...), 0)),
		"another version": append([]byte("GWC1"), good[4:]...),
		"a count too big": seal(append(appendString([]byte("GWC2\x00\x00\x00\x00P"), "purged n"), 0, 0xff, 0xff, 0xff, 0xff, 0x0f)),
	} {
		_, ok := decodeMarks(bad, "purged n")
		require.False(t, ok, name)
	}
}

func FuzzMarks(f *testing.F) {
	f.Add((&marks{uris: map[string]time.Time{"/a": time.Now()}}).encode("purged n")[prefixSize:])
	f.Fuzz(func(t *testing.T, b []byte) {
		m, ok := decodeMarks(seal(append([]byte("GWC2\x00\x00\x00\x00"), b...)), "purged n")
		if !ok {
			return
		}
		again, ok := decodeMarks(m.encode("purged n"), "purged n")
		require.True(t, ok)
		require.Equal(t, m, again)
	})
}
