package lbsim

import (
	"math/rand/v2"
	"time"
)

// Equal returns n hosts that are all the same.
func Equal(n int) []Host { return make([]Host, n) }

// TwoSpeeds returns n hosts of which every other is twice as fast, as there are in any
// data centre that has bought machines more than once.
func TwoSpeeds(n int) []Host {
	hosts := Equal(n)
	for i := 1; i < n; i += 2 {
		hosts[i].Speed = 2
	}
	return hosts
}

// turn is how long one host of each class is slower than the others in Mixed.
const turn = 2 * time.Second

// Mixed returns two speeds of n hosts for a load that lasts d: the first is ten times
// slower than its class all the time, and of each class another one is three times slower,
// for two seconds each.
func Mixed(n int, d time.Duration) []Host {
	hosts := TwoSpeeds(n)
	hosts[0].Speed = 0.1
	slow, fast := 2, 1
	for from := time.Duration(0); from < d; from += turn {
		for _, i := range []int{slow, fast} {
			hosts[i].Spells = append(hosts[i].Spells, Spell{From: from, To: from + turn, Slower: 3})
		}
		if slow += 2; slow >= n {
			slow = 2
		}
		if fast += 2; fast >= n {
			fast = 1
		}
	}
	return hosts
}

// OneSlow returns n hosts of which the first is ten times slower.
func OneSlow(n int) []Host {
	hosts := Equal(n)
	hosts[0].Speed = 0.1
	return hosts
}

// OneFailing returns n hosts of which one fails at once, and so looks faster than all
// others to whoever does not look at what it answers.
func OneFailing(n int) []Host {
	hosts := Equal(n)
	hosts[n/4].FailFast = true
	return hosts
}

// Pausing returns n hosts for a load that lasts d, each of which stops for a tenth of a
// second every five or so: 2 % of the time.
func Pausing(n int, d time.Duration, seed uint64) []Host {
	const pause = 100 * time.Millisecond
	random := rand.New(rand.NewPCG(seed, 91))
	hosts := Equal(n)
	for i := range hosts {
		for at := spread(random, 5*time.Second); at < d; at += pause + spread(random, 10*time.Second) {
			hosts[i].Spells = append(hosts[i].Spells, Spell{From: at, To: at + pause, Stopped: true})
		}
	}
	return hosts
}

// spread is anything up to d.
func spread(random *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(random.Float64() * float64(d))
}

// During returns n hosts that are all in s at the same time.
func During(n int, s Spell) []Host {
	hosts := Equal(n)
	for i := range hosts {
		hosts[i].Spells = []Spell{s}
	}
	return hosts
}
