package balancer

import "time"

// clock counts nanoseconds since its pool was made. Endpoints keep times as such
// numbers, which are atomic; 0 is no time.
type clock struct{ start time.Time }

func (c clock) now() int64 { return int64(time.Since(c.start)) + 1 }

// until returns how long it is to t; 0 if that has passed.
func (c clock) until(t int64) time.Duration {
	return max(0, time.Duration(t-c.now()))
}
