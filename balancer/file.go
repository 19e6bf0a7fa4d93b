package balancer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// File is a [Resolver] that reads the targets from a file, and again when that has changed,
// which is noticed within about a second; also where a symbolic link to it is replaced, as
// Kubernetes does with a ConfigMap. A file that cannot be read, has an error or no
// target in it leaves the targets as they were. One that is being written is taken when
// it has stayed the same for a moment; to rename a complete one into its place is
// better still.
//
// The file has a URL in each line, where empty lines and those that begin with # count for
// nothing; or it is a JSON array of URLs, and of objects with the members of [Target]:
//
//	[
//		"http://orders-1:8080",
//		{"url": "http://orders-2:8080", "weight": 2, "zone": "b", "priority": 1, "host": "orders"}
//	]
type File struct {
	Path string // up to 1 MiB. Empty: an error, as if there were no file
}

const (
	maxFile     = 1 << 20
	filePoll    = time.Second
	fileSettles = 100 * time.Millisecond // between two looks at a file that has changed
)

// Resolve implements [Resolver].
func (f File) Resolve(context.Context) ([]Target, time.Duration, error) {
	content, err := f.read()
	if err != nil {
		return nil, 0, err
	}
	targets, err := f.parse(content)
	return targets, filePoll, err
}

func (f File) read() ([]byte, error) {
	file, err := f.open()
	if err != nil {
		return nil, fmt.Errorf("balancer: targets: %w", err)
	}
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	err = errors.Join(err, file.Close())
	if err != nil {
		return nil, fmt.Errorf("balancer: targets: %w", err)
	}
	if len(content) > maxFile {
		return nil, fmt.Errorf("balancer: targets: %s has more than %d bytes", f.Path, maxFile)
	}
	return content, nil
}

// open opens only what is a file: of a pipe it would wait for a writer.
func (f File) open() (*os.File, error) {
	info, err := os.Stat(f.Path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", f.Path)
	}
	return os.Open(f.Path)
}

func (f File) parse(content []byte) ([]Target, error) {
	targets, err := parseTargets(content)
	if err != nil {
		return nil, fmt.Errorf("balancer: targets: %s: %w", f.Path, err)
	}
	return targets, nil
}

func (f File) check() error {
	if f.Path == "" {
		return errors.New("balancer: File has no Path")
	}
	return nil
}

// fresh returns what reads the file for one pool.
func (f File) fresh() Resolver { return &fileWatch{file: f} }

// fileWatch waits for changes of a file. It compares what is in it: a time of change
// may be too coarse, and a watch on the file is one on what the link has pointed to.
type fileWatch struct {
	file  File
	known *[sha256.Size]byte // of what was returned last, which may be an error; nil: nothing was
}

// Resolve returns when there is something else to return than the last time.
func (w *fileWatch) Resolve(ctx context.Context) ([]Target, time.Duration, error) {
	for {
		content, err := w.file.read()
		sum := sumOf(content, err)
		switch {
		case w.known == nil, sum != *w.known && w.settled(ctx, sum):
			w.known = &sum
			if err != nil {
				return nil, 0, err
			}
			targets, err := w.file.parse(content)
			return targets, 0, err
		case !sleep(ctx, filePoll):
			return nil, 0, context.Cause(ctx)
		}
	}
}

// settled reports whether the file is still what it was a moment ago.
func (w *fileWatch) settled(ctx context.Context, was [sha256.Size]byte) bool {
	return sleep(ctx, fileSettles) && sumOf(w.file.read()) == was
}

func sumOf(content []byte, err error) [sha256.Size]byte {
	if err != nil {
		return sha256.Sum256([]byte("error: " + err.Error()))
	}
	return sha256.Sum256(append([]byte("content: "), content...))
}

// parseTargets reads what File describes. Whether the URLs are any good is for the pool to
// say, of each.
func parseTargets(content []byte) ([]Target, error) {
	parse := parseLines
	content = bytes.TrimSpace(content)
	if bytes.HasPrefix(content, []byte("[")) {
		parse = parseJSON
	}
	targets, err := parse(content)
	if err == nil && len(targets) == 0 {
		err = errNoTargets
	}
	return targets, err
}

func parseLines(content []byte) (targets []Target, _ error) {
	for line := range strings.Lines(string(content)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			targets = append(targets, Target{URL: line})
		}
	}
	return targets, nil
}

// jsonTarget is an object or a string.
type jsonTarget Target

func (t *jsonTarget) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		return json.Unmarshal(b, &t.URL)
	}
	if b[0] != '{' {
		return errors.New("a target is neither a string nor an object")
	}
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.DisallowUnknownFields() // a wieght would go unnoticed
	return decoder.Decode((*Target)(t))
}

func parseJSON(content []byte) ([]Target, error) {
	var list []jsonTarget
	if err := json.Unmarshal(content, &list); err != nil {
		return nil, err
	}
	targets := make([]Target, len(list))
	for i, t := range list {
		targets[i] = Target(t)
	}
	return targets, nil
}
