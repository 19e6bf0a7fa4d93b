package cache_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/cache"
)

var diskBenchSizes = map[string]int{"1KiB": 1 << 10, "1MiB": 1 << 20}

func BenchmarkDiskGet(b *testing.B) {
	for name, size := range diskBenchSizes {
		b.Run(name, func(b *testing.B) {
			d := openDisk(b, b.TempDir(), 64<<20)
			require.NoError(b, d.Set(b.Context(), "k", make([]byte, size), time.Hour))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, ok, err := d.Get(b.Context(), "k"); !ok {
					b.Fatal(err)
				}
			}
		})
	}
}

// Most of these push another out.
func BenchmarkDiskSet(b *testing.B) {
	for name, size := range diskBenchSizes {
		b.Run(name, func(b *testing.B) {
			d := openDisk(b, b.TempDir(), 64<<20)
			val := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if err := d.Set(b.Context(), strconv.Itoa(n), val, time.Hour); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDiskOpen(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := b.TempDir()
			d := openDisk(b, dir, 1<<30)
			for i := range n {
				require.NoError(b, d.Set(b.Context(), strconv.Itoa(i), nil, time.Hour))
			}
			require.NoError(b, d.Close())
			for b.Loop() {
				d, err := cache.OpenDisk(dir, 1<<30)
				require.NoError(b, err)
				require.NoError(b, d.Close())
			}
		})
	}
}
