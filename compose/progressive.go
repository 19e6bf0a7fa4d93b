package compose

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/internal/rawjson"
)

// The media types of a progressive answer: one JSON text a line, and server-sent events
// (HTML section 9.2).
const (
	typeLines  = "application/x-ndjson"
	typeEvents = "text/event-stream"
)

// stream is an answer whose parts go to the client as they end.
type stream struct {
	run    *run
	w      http.ResponseWriter
	media  string
	left   []int // of each part: how many have yet to end before it is sent, itself too
	broken bool  // the client has left, as far as writing to it tells
}

// progressive returns the stream that r asks for; nil if it is for the whole.
func (a *Aggregator) progressive(w http.ResponseWriter, r *http.Request) *stream {
	addVary(w.Header(), "Accept")
	media := a.streamed(r.Header["Accept"])
	if media == "" {
		return nil
	}
	return &stream{run: newRun(a, r), w: w, media: media}
}

// streamed returns the media type for a client that would rather have a stream than the
// whole, and has said so by the name of the type: what a client lists as */* it may not know.
func (a *Aggregator) streamed(accept []string) string {
	whole := []string{"application/json"}
	if a.config.XML != "" {
		whole = append(whole, "application/xml")
	}
	best, weight := "", 0
	for _, media := range []string{typeLines, typeEvents} {
		q := quality(accept, media)
		if !named(accept, media) || q <= weight {
			continue
		}
		if !slices.ContainsFunc(whole, func(other string) bool {
			better := quality(accept, other)
			return better > q || better == q && named(accept, other)
		}) {
			best, weight = media, q
		}
	}
	return best
}

// named reports whether Accept has media by its name, and not only by a range such as */*.
func named(accept []string, media string) bool {
	for _, field := range accept {
		for item := range strings.SplitSeq(field, ",") {
			if name, _, _ := strings.Cut(item, ";"); strings.EqualFold(strings.Trim(name, " \t"), media) {
				return true
			}
		}
	}
	return false
}

// serve runs the parts and writes each. It returns when all have ended or been given up.
func (s *stream) serve(ctx context.Context) {
	x := s.run
	x.start(ctx)
	defer x.cancel()
	if !s.begin() {
		return
	}
	ends := make(chan int, len(x.results)) // room for all: a slow client does not hold up parts
	x.ended = func(i int) { ends <- i }
	defer x.free()
	var err error
	go func() {
		defer close(ends)
		err = x.do()
	}()
	for i := range ends {
		s.part(i)
	}
	s.close(err)
}

// begin writes the header, and reports whether parts are to follow it.
func (s *stream) begin() bool {
	h := s.w.Header()
	h["Cache-Control"] = noStore[:1:1]
	r := s.run.request
	if s.media == typeEvents && r.Header.Get("Last-Event-ID") == lastEvent {
		// A browser asks again when a stream has ended, for ever, unless it is told not to.
		s.w.WriteHeader(http.StatusNoContent)
		return false
	}
	h["Content-Type"] = []string{s.media}
	s.w.WriteHeader(http.StatusOK)
	s.flush()
	s.await()
	return r.Method != http.MethodHead
}

// await counts what has to end before each part can be sent.
func (s *stream) await() {
	s.left = make([]int, len(s.run.results))
	for i := range s.left {
		s.left[s.run.agg.plan.root(i)]++
	}
}

// root returns the part in whose answer part i is: the one that it is joined to, or itself.
func (p *plan) root(i int) int {
	if s := &p.steps[i]; s.joined != "" {
		return s.array.part
	}
	return i
}

// part writes what can be told now that part i has ended.
func (s *stream) part(i int) {
	x := s.run
	root := x.agg.plan.root(i)
	s.left[root]--
	if step := &x.agg.plan.steps[i]; (root != i || step.hidden) && x.results[i].err != nil {
		s.send("part", x.line(i, nil))
	}
	if s.left[root] == 0 && !x.agg.plan.steps[root].hidden {
		s.send("part", x.line(root, x.results[root].json))
	}
}

// line is what is told of part i. It may be used until the next.
func (x *run) line(i int, value []byte) []byte {
	b := rawjson.AppendString([]byte(`{"part":`), x.agg.plan.steps[i].name)
	if value != nil {
		b = appendLine(append(b, `,"value":`...), x.withJoined(i, value))
	}
	if err := x.results[i].err; err != nil {
		b = appendProblem(b, err.problem)
	}
	return append(b, '}')
}

func appendProblem(b []byte, p *gateway.Problem) []byte {
	text, _ := p.MarshalJSON() // there is nothing in it that cannot be
	return append(append(b, `,"problem":`...), text...)
}

// appendLine appends v without the ends of lines in it, at which both formats would take it
// apart. They are white space: in a string they are escaped.
func appendLine(b, v []byte) []byte {
	for _, c := range v {
		if c != '\n' && c != '\r' {
			b = append(b, c)
		}
	}
	return b
}

// lastEvent is the id of the closing event.
const lastEvent = "done"

// close writes how it all ended: with the status that the whole would have had.
func (s *stream) close(err error) {
	x := s.run
	b := []byte(`{"done":true,"status":`)
	if err != nil {
		p := gateway.ProblemOf(err)
		if x.state != nil {
			x.state.Err = p
		}
		b = appendProblem(append(b, itoa(p.Status)[0]...), p)
	} else {
		x.note()
		b = append(b, itoa(x.status())[0]...)
	}
	s.send("done", append(b, '}'))
}

// status is that of an answer without a problem.
func (x *run) status() int {
	if status := x.agg.config.PartialStatus; status != 0 && x.partial() {
		return status
	}
	return http.StatusOK
}

// send writes an event, one JSON text without ends of lines, and sees that it goes out.
func (s *stream) send(event string, text []byte) {
	if s.broken {
		return
	}
	if s.media == typeEvents {
		head := "event: " + event + "\n"
		if event == lastEvent {
			head += "id: " + event + "\n"
		}
		text = append(append([]byte(head+"data: "), text...), '\n')
	}
	if _, err := s.w.Write(append(text, '\n')); err != nil {
		s.leave()
		return
	}
	s.flush()
}

func (s *stream) flush() {
	err := http.NewResponseController(s.w).Flush()
	// Where nothing can be flushed the parts come with the end, or when a buffer is full.
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.leave()
	}
}

// leave gives the parts up: nobody reads them any more.
func (s *stream) leave() {
	s.broken = true
	s.run.cancel()
}
