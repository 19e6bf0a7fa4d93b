package cache

import (
	"net/http"
	"time"
)

// lookup is one request on its way through the cache.
type lookup struct {
	base    http.RoundTripper
	shelf   shelf
	maxBody int64

	req   *http.Request
	asked directives
	key   string
	found *entry // nil: nothing that fits is stored
	why   string // the request is forwarded, if it is
}

// answer returns a stored response or one of the origin's.
func (l *lookup) answer() (*http.Response, error) {
	l.find()
	now := time.Now()
	if l.found != nil {
		if l.why = l.found.refusal(l.asked, now); l.why == "" {
			return l.found.hit(l.req, now), nil
		}
	}
	switch {
	case l.asked.onlyIfCached:
		return notCached(l.req), nil
	case l.found != nil && hasValidator(l.found.header) && l.req.Method == http.MethodGet:
		return l.validate()
	}
	return l.fetch()
}

// fetch asks the origin for the whole.
func (l *lookup) fetch() (*http.Response, error) {
	sent := time.Now()
	res, err := l.base.RoundTrip(l.req)
	if err != nil {
		return nil, err
	}
	return l.receive(res, sent), nil
}

// validate asks the origin whether what was found still holds (RFC 9111 section
// 4.3). If the origin fails, so does the answer: stale responses are not served
// in its place.
func (l *lookup) validate() (*http.Response, error) {
	sent := time.Now()
	res, err := l.base.RoundTrip(conditional(l.req, l.found))
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusNotModified {
		return l.receive(res, sent), nil
	}
	_ = res.Body.Close() // there is nothing in it
	now := time.Now()
	e, ok := l.found.freshen(res.Header, sent, now)
	if !ok {
		return l.fetch()
	}
	if isShareable(l.req, e.status, e.header, parseControl(e.header["Cache-Control"])) {
		l.store(e)
	} else {
		l.forget()
	}
	return e.answer(l.req, now, "fwd="+l.why+"; fwd-status=304"), nil
}

// receive returns the origin's response, and sees to it that it is stored once it
// was read to its end, if it may be.
func (l *lookup) receive(res *http.Response, sent time.Time) *http.Response {
	now := time.Now()
	h := canonical(res.Header, now)
	res = forwarded(res, l.why)
	res.Request = l.req
	if l.req.Method != http.MethodGet {
		return res
	}
	cc := parseControl(h["Cache-Control"])
	storable := isShareable(l.req, res.StatusCode, h, cc) && isDelimited(res) && res.ContentLength <= l.maxBody
	e := newEntry(res.StatusCode, h, cc, sent, now)
	if !storable || e.keep(now) <= 0 {
		if res.StatusCode != http.StatusNotModified && res.StatusCode < 500 {
			l.forget() // what is there now took its place
		}
		return res
	}
	l.copy(res, e)
	return res
}

// copy has e stored with the body of res once it has passed.
func (l *lookup) copy(res *http.Response, e *entry) {
	done := func(body []byte) {
		e.body = body
		l.store(e)
	}
	if res.Body == http.NoBody && res.ContentLength <= 0 {
		done(nil) // nobody has to read what is empty
		return
	}
	res.Body = &fill{ReadCloser: res.Body, res: res, max: l.maxBody, want: res.ContentLength, done: done}
}
