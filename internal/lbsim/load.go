package lbsim

import (
	"context"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// Law is how much work requests are: log-normal, so that some are many times the mean,
// as real ones are.
type Law struct {
	Mean  time.Duration
	Sigma float64 // of the logarithm
}

func (l Law) draw(random *rand.Rand) time.Duration {
	mu := math.Log(float64(l.Mean)) - l.Sigma*l.Sigma/2
	return time.Duration(math.Exp(mu + l.Sigma*random.NormFloat64()))
}

// Load is requests that come at given times, whatever has become of earlier ones.
type Load struct {
	At      []time.Duration // when they come, since the beginning
	Work    []time.Duration // of the first one's legs, the second one's, and so on
	Legs    int             // requests that are made for each, all at once, and all waited for
	Timeout time.Duration   // of each
}

// Draw returns a load of rate arrivals a second that lasts d: Poisson, so that many may
// come at once. It is the same for the same seed.
func Draw(seed uint64, rate float64, d time.Duration, legs int, law Law) Load {
	random := rand.New(rand.NewPCG(seed, 77))
	l := Load{Legs: legs}
	for at := 0.0; ; {
		at += random.ExpFloat64() / rate * float64(time.Second)
		if at >= float64(d) {
			return l
		}
		l.At = append(l.At, time.Duration(at))
		for range legs {
			l.Work = append(l.Work, law.draw(random))
		}
	}
}

// Result is what has become of one arrival.
type Result struct {
	At   time.Duration // when it came, since the beginning
	Late time.Duration // by how much the generator was, which is no fault of what is tried
	Took time.Duration // since it should have come, until the last leg's body
	OK   bool          // all legs were answered with 200 in time
}

// Play sends the load to clients in turn, and returns when all of it is answered; what was
// yet to come when ctx ends is zero.
func (l Load) Play(ctx context.Context, clients ...http.RoundTripper) []Result {
	results := make([]Result, len(l.At))
	began := time.Now()
	var wg sync.WaitGroup
	for i, at := range l.At {
		if ctx.Err() != nil {
			break
		}
		if d := at - time.Since(began); d > 0 {
			time.Sleep(d)
		}
		client := clients[i%len(clients)]
		wg.Go(func() {
			r := &results[i]
			r.At, r.Late = at, time.Since(began)-at
			r.OK = l.arrive(ctx, client, l.Work[i*l.Legs:(i+1)*l.Legs])
			r.Took = time.Since(began) - at
		})
	}
	wg.Wait()
	return results
}

// arrive makes all legs of a request, and reports whether all are well.
func (l Load) arrive(ctx context.Context, client http.RoundTripper, work []time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	if len(work) == 1 {
		return ask(ctx, client, work[0])
	}
	well := make([]bool, len(work))
	var wg sync.WaitGroup
	for i, w := range work {
		wg.Go(func() { well[i] = ask(ctx, client, w) })
	}
	wg.Wait()
	for _, ok := range well {
		if !ok {
			return false
		}
	}
	return true
}

// template is every request but for its work.
var template = &http.Request{
	Method: http.MethodGet, URL: &url.URL{Path: "/"},
	Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
}

func ask(ctx context.Context, client http.RoundTripper, work time.Duration) bool {
	r := template.WithContext(ctx)
	r.URL = &url.URL{Path: "/"}
	r.Header = http.Header{WorkHeader: {strconv.FormatInt(work.Microseconds(), 10)}}
	res, err := client.RoundTrip(r)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	return err == nil && res.StatusCode == http.StatusOK
}
