package lbsim_test

import (
	"context"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/internal/lbsim"
)

func TestAHostIsWhatItsSpeedAndItsSpellsMakeIt(t *testing.T) {
	h := lbsim.Host{Speed: 2, Spells: []lbsim.Spell{
		{From: 10 * time.Second, To: 20 * time.Second, Slower: 3, Failing: 0.5},
		{From: 30 * time.Second, To: 31 * time.Second, Stopped: true},
		{From: 32 * time.Second, To: 33 * time.Second, Stopped: true},
	}}
	for _, c := range []struct{ start, work, end time.Duration }{
		{0, 4, 2}, {9, 4, 11}, {10, 4, 16}, {19, 4, 25}, {20, 4, 22},
		{29, 2, 30},   // it was done just in time
		{29, 4, 32},   // and this was not
		{30, 2, 32},   // begins in a pause, and ends as the next one begins
		{29, 100, 81}, // two pauses
	} {
		assert.Equal(t, c.end*time.Second, h.End(c.start*time.Second, c.work*time.Second), "%v", c)
	}
	assert.Zero(t, h.Failing(9*time.Second))
	assert.InDelta(t, 0.5, h.Failing(10*time.Second), 1e-9)
	assert.Zero(t, h.Failing(20*time.Second))
	// Half of the time at full speed, half of the rest at a third.
	assert.InDelta(t, 2*(1-0.5*2/3.), lbsim.Power([]lbsim.Host{h}, 20*time.Second), 1e-9)
	assert.InDelta(t, 3.0, lbsim.Power(lbsim.Equal(3), time.Second), 1e-9)
}

func TestMixedHostsAlwaysHaveTwoThatAreSlowForAWhile(t *testing.T) {
	hosts := lbsim.Mixed(8, time.Minute)
	for at := time.Duration(0); at < time.Minute; at += time.Second {
		var slow []int
		for i, h := range hosts {
			if h.End(at, time.Second)-at > time.Duration(1.1*float64(time.Second)/max(h.Speed, 1)) && h.Speed != 0.1 {
				slow = append(slow, i)
			}
		}
		require.Len(t, slow, 2, "at %v", at)
		assert.NotEqual(t, slow[0]%2, slow[1]%2)
	}
}

// asked is what one request to a fleet has brought.
type asked struct {
	status int
	err    error
	took   time.Duration
}

func ask(ctx context.Context, f *lbsim.Fleet, work time.Duration) asked {
	began := time.Now()
	r, err := http.NewRequestWithContext(ctx, "GET", f.Targets()[0], nil)
	if err != nil {
		return asked{err: err}
	}
	r.Header.Set(lbsim.WorkHeader, strconv.FormatInt(work.Microseconds(), 10))
	res, err := f.RoundTrip(r)
	if err != nil {
		return asked{err: err, took: time.Since(began)}
	}
	return asked{res.StatusCode, nil, time.Since(began)}
}

func TestABackendServesInTurnAndRefusesWhatCannotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &lbsim.Fleet{Hosts: lbsim.Equal(1), Workers: 2, Queue: 1}
		got := make([]asked, 4)
		for i := range got {
			go func() { got[i] = ask(t.Context(), f, time.Second) }()
			synctest.Wait()
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		assert.Equal(t, []asked{
			{200, nil, time.Second}, {200, nil, time.Second}, {200, nil, 2 * time.Second}, {503, nil, 0},
		}, got)
		assert.Equal(t, 4, f.Asked(0, time.Second))
		assert.Zero(t, f.Asked(time.Second, time.Minute))
	})
}

// What a client gives up is work all the same for a backend that does not notice.
func TestOnlyADeafBackendGoesOnForNobody(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := &lbsim.Fleet{Hosts: lbsim.Equal(1), Workers: 1, Queue: 5, Deaf: deaf}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			var served, waited asked
			go func() { served = ask(ctx, f, 10*time.Second) }()
			synctest.Wait()
			go func() { waited = ask(ctx, f, 10*time.Second) }()
			time.Sleep(2 * time.Second)
			synctest.Wait()
			want := asked{err: context.DeadlineExceeded, took: time.Second}
			assert.Equal(t, want, served)
			assert.Equal(t, want, waited)
			next := ask(t.Context(), f, time.Second)
			assert.Equal(t, 200, next.status)
			if deaf {
				assert.Equal(t, 19*time.Second, next.took)
			} else {
				assert.Equal(t, time.Second, next.took)
			}
		})
	}
}

func TestABackendFailsAtOnceOrAfterTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &lbsim.Fleet{Hosts: []lbsim.Host{{FailFast: true}}, Workers: 1}
		assert.Equal(t, asked{500, nil, time.Millisecond}, ask(t.Context(), f, time.Hour))
		f = &lbsim.Fleet{Hosts: lbsim.During(1, lbsim.Spell{To: time.Hour, Failing: 0.5}), Workers: 1}
		failed := 0
		for range 1000 {
			got := ask(t.Context(), f, time.Second)
			require.Equal(t, time.Second, got.took)
			if got.status == 502 {
				failed++
			}
		}
		assert.InDelta(t, 500, failed, 60)
	})
}

func TestALoadIsTheSameForTheSameSeedAndAsHeavyAsItSays(t *testing.T) {
	draw := func(seed uint64) lbsim.Load { return lbsim.Draw(seed, 1000, time.Minute, 2, wide) }
	l := draw(1000)
	assert.Equal(t, l, draw(1000))
	assert.NotEqual(t, l.At, draw(1001).At)
	assert.InEpsilon(t, 60000, len(l.At), 0.02)
	require.Len(t, l.Work, 2*len(l.At))
	sum := time.Duration(0)
	for _, w := range l.Work {
		sum += w
	}
	assert.InEpsilon(t, float64(wide.Mean), float64(sum)/float64(len(l.Work)), 0.02)
}

// later is an upstream whose answers take long, so that a load that waited for one before
// it sends the next would be late.
type later struct{ took time.Duration }

func (u later) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-time.After(u.took):
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func TestALoadWaitsForNoAnswer(t *testing.T) {
	for took, ok := range map[time.Duration]bool{time.Second: true, time.Minute: false} {
		synctest.Test(t, func(t *testing.T) {
			l := lbsim.Draw(1, 100, 10*time.Second, 3, short)
			l.Timeout = 2 * time.Second
			results := l.Play(t.Context(), later{took})
			require.Len(t, results, len(l.At))
			for i, r := range results {
				assert.Equal(t, lbsim.Result{At: l.At[i], Took: min(took, l.Timeout), OK: ok}, r)
			}
		})
	}
}

func TestStatsAreOfWhatCameInTime(t *testing.T) {
	var results []lbsim.Result
	for i := range 200 {
		results = append(results, lbsim.Result{
			At: time.Duration(i) * time.Second, Took: time.Duration(i) * time.Millisecond, OK: i != 150, Late: time.Duration(i),
		})
	}
	got := lbsim.Between(results, 100*time.Second, 200*time.Second)
	assert.Equal(t, lbsim.Stats{
		Count: 100, Failed: 0.01, P50: 150 * time.Millisecond, P90: 190 * time.Millisecond, P99: 199 * time.Millisecond,
		Mean: 149500 * time.Microsecond, Late: 199,
	}, got)
	assert.Zero(t, lbsim.Between(results, time.Hour, 2*time.Hour))
}
