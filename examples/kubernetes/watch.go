package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// errGone is that a version is too old to go on from, or that a list went on for so long
// that its beginning is: 410.
var errGone = errors.New("the version is gone")

const (
	pageSize   = "500"
	maxList    = 64 << 20        // bytes of a page
	maxEvent   = 8 << 20         // bytes: etcd keeps no object of more than 1.5 MiB
	watchFor   = 5 * time.Minute // after which the server is asked to end a watch
	listFor    = time.Minute
	giveUpWait = 30 * time.Second // for a server that does not
)

// list replaces what is known by what there is.
func (e *EndpointSlices) list(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, listFor)
	defer cancel()
	e.version = "" // until it is complete
	known := make(map[string]slice)
	for next := ""; ; {
		var page struct {
			Metadata struct {
				ResourceVersion string `json:"resourceVersion"`
				Continue        string `json:"continue"`
			} `json:"metadata"`
			Items []slice `json:"items"`
		}
		if err := e.page(ctx, next, &page); err != nil {
			return err
		}
		for _, s := range page.Items {
			known[s.Metadata.Name] = s
		}
		if next = page.Metadata.Continue; next == "" {
			if page.Metadata.ResourceVersion == "" {
				return errors.New("the list has no version")
			}
			e.known, e.version = known, page.Metadata.ResourceVersion
			return nil
		}
	}
}

func (e *EndpointSlices) page(ctx context.Context, next string, page any) error {
	query := url.Values{"limit": {pageSize}}
	if next != "" {
		query.Set("continue", next)
	}
	res, err := e.get(ctx, query)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxList+1))
	if err != nil {
		return err
	}
	if len(body) > maxList {
		return fmt.Errorf("a list of more than %d bytes", maxList)
	}
	return json.Unmarshal(body, page)
}

// watch opens a stream of what has changed since the version known.
func (e *EndpointSlices) watch(ctx context.Context) (*stream, error) {
	ctx, cancel := context.WithTimeout(ctx, watchFor+giveUpWait)
	res, err := e.get(ctx, url.Values{
		"watch":               {"true"},
		"allowWatchBookmarks": {"true"},
		"resourceVersion":     {e.version},
		"timeoutSeconds":      {fmt.Sprint(int(watchFor.Seconds()))},
	})
	if err != nil {
		cancel()
		return nil, err
	}
	return &stream{body: res.Body, lines: bufio.NewReaderSize(res.Body, 64<<10), cancel: cancel}, nil
}

// get asks for the service's slices. A response is one with status 200.
func (e *EndpointSlices) get(ctx context.Context, query url.Values) (*http.Response, error) {
	query.Set("labelSelector", "kubernetes.io/service-name="+e.Service)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, e.API+
		"/apis/discovery.k8s.io/v1/namespaces/"+url.PathEscape(e.Namespace)+"/endpointslices?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	if e.Token != nil {
		token, err := e.Token()
		if err != nil {
			return nil, err
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := e.Client.Do(r)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	var s status
	body, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	_ = json.Unmarshal(body, &s) // or there is only the status
	s.Code = res.StatusCode
	return nil, s.err()
}

// status is how the API server says what is wrong.
type status struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (s status) err() error {
	if s.Code == http.StatusGone {
		return errGone
	}
	return fmt.Errorf("the API server says %d: %s", s.Code, s.Message)
}

// stream is a watch: a body in which each line is an event.
type stream struct {
	body   io.ReadCloser
	lines  *bufio.Reader
	cancel context.CancelFunc
	events int // so far
}

// event is one with its object read.
type event struct {
	Type   string          `json:"type"`
	Object json.RawMessage `json:"object"`

	slice slice
}

// next waits for an event.
func (s *stream) next() (event, error) {
	line, err := s.line()
	if err != nil {
		return event{}, err
	}
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		return event{}, err
	}
	if e.Type == "ERROR" {
		var wrong status
		if err := json.Unmarshal(e.Object, &wrong); err != nil {
			return event{}, err
		}
		return event{}, wrong.err()
	}
	if err := json.Unmarshal(e.Object, &e.slice); err != nil {
		return event{}, err
	}
	if e.slice.Metadata.ResourceVersion == "" {
		return event{}, fmt.Errorf("an event without a version: %.100s", line)
	}
	s.events++
	return e, nil
}

// line returns a whole line. Half of one, where the connection broke, is none.
func (s *stream) line() ([]byte, error) {
	var line []byte
	for {
		part, err := s.lines.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxEvent:
			return nil, fmt.Errorf("an event of more than %d bytes", maxEvent)
		case err == nil:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// more reports whether another whole line has come already.
func (s *stream) more() bool {
	waiting, _ := s.lines.Peek(s.lines.Buffered())
	return bytes.IndexByte(waiting, '\n') >= 0
}

func (s *stream) close() {
	s.cancel()
	s.body.Close()
}
