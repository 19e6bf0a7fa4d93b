package auth

import (
	"encoding/base64"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMemoryHoldsNoMoreThanItMay(t *testing.T) {
	t.Parallel()
	secret := []byte(strings.Repeat("secret! ", 4))
	compiled, err := JWT{Key: secret}.build()
	require.NoError(t, err)
	v, refusals := compiled.(*verifier), 0
	for i := range 100_000 {
		claims := `{"exp":4102444800,"sub":"` + strconv.Itoa(i) + `"}`
		signed := "eyJhbGciOiJIUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(claims))
		signature, _ := jwt.SigningMethodHS256.Sign(signed, secret)
		if _, err := v.principal(t.Context(), signed + "." + base64.RawURLEncoding.EncodeToString(signature)); err != nil {
			refusals++
		}
	}
	assert.Zero(t, refusals)
	assert.LessOrEqual(t, size(v.memory), defaultRemember)
	assert.Greater(t, size(v.memory), defaultRemember*9/10, "most of it is used")
}

func size(m *memory) (n int) {
	for i := range m.shards {
		n += m.shards[i].tokens.Len()
	}
	return n
}

func TestMemoryOfAnySizeIsBounded(t *testing.T) {
	for _, n := range []int{1, 2, 63, 64, 65, 127, 128, 1000, 1023, 1025} {
		m := newMemory(n)
		for i := range 10_000 {
			m.keep(strconv.Itoa(i), verified{principal: &Principal{}})
		}
		assert.LessOrEqual(t, size(m), n)
		assert.Greater(t, size(m), n*9/10-1)
	}
}

// What is estimated must not be less than what it takes, or the memory has no bound.
func TestFootprintIsNoLessThanTheMemoryTaken(t *testing.T) {
	for name, value := range map[string]string{
		"string":       `"` + strings.Repeat("x", 4100) + `"`,
		"numbers":      `[1` + strings.Repeat(",1", 2500) + `]`,
		"strings":      `["1"` + strings.Repeat(`,"1"`, 1250) + `]`,
		"empty arrays": `[[]` + strings.Repeat(",[]", 1600) + `]`,
		"empty":        `[{}` + strings.Repeat(",{}", 1600) + `]`,
		"small":        `[{"":1}` + strings.Repeat(`,{"":1}`, 700) + `]`,
		"nested":       strings.Repeat(`{"":`, 1000) + "1" + strings.Repeat("}", 1000),
		"deep":         strings.Repeat("[", 2500) + strings.Repeat("]", 2500),
		"nine members": `[{}` + strings.Repeat(`,{"1":1,"2":2,"3":3,"4":4,"5":5,"6":6,"7":7,"8":8,"9":9}`, 90) + `]`,
		"many members": `{"x":1` + many(455) + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			kept := make([]claims, 30)
			before := heap()
			for i := range kept {
				c, err := object(base64.RawURLEncoding.EncodeToString([]byte(`{"x":` + value + `}`)))
				require.NoError(t, err)
				kept[i] = c
			}
			taken := (heap() - before) / len(kept)
			assert.LessOrEqual(t, taken, footprint(kept[0]))
			runtime.KeepAlive(kept)
		})
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`,"` + strconv.Itoa(i) + `":1`)
	}
	return b.String()
}

func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
