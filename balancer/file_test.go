package balancer_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/balancer"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
}

func TestFileReadsLinesAndJSON(t *testing.T) {
	for content, want := range map[string][]balancer.Target{
		"http://a:1":                        {{URL: "http://a:1"}},
		"# ours\r\n\n http://a \r\nh2c://b": {{URL: "http://a"}, {URL: "h2c://b"}},
		` ["http://a"] `:                    {{URL: "http://a"}},
		`[{"url":"http://a","weight":3,"zone":"z","priority":2,"host":"h"}, "http://b"]`: {
			{URL: "http://a", Weight: 3, Zone: "z", Priority: 2, Host: "h"}, {URL: "http://b"},
		},
	} {
		path := filepath.Join(t.TempDir(), "targets")
		write(t, path, content)
		targets, holds, err := balancer.File{Path: path}.Resolve(t.Context())
		assert.NoError(t, err, content)
		assert.Equal(t, want, targets)
		assert.Equal(t, time.Second, holds)
	}
}

func TestFileRefusesWhatIsBrokenAsAWhole(t *testing.T) {
	for _, content := range []string{
		"", " \n\n", "# nothing", "[]", `["http://a"`, `["http://a",]`, `["http://a"] x`, `["http://a"]["http://b"]`,
		`[null]`, `[7]`, `[["http://a"]]`, `[{"url":"http://a","wieght":3}]`, `[{"url":"http://a","weight":"3"}]`,
		`[{"url":"http://a","weight":1.5}]`, "[" + strings.Repeat("[", 1<<19),
		strings.Repeat("http://a\n", 1<<20/9+1),
	} {
		path := filepath.Join(t.TempDir(), "targets")
		write(t, path, content)
		targets, _, err := balancer.File{Path: path}.Resolve(t.Context())
		assert.ErrorContains(t, err, path, "%.100q", content)
		assert.Empty(t, targets)
	}
}

func TestFileReadsNothingButFiles(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe") // whose reader would wait for a writer, and Close for the reader
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	for _, path := range []string{"", dir, pipe, "/dev/zero", filepath.Join(dir, "none"), "\x00"} {
		_, _, err := balancer.File{Path: path}.Resolve(t.Context())
		assert.Error(t, err, "%q", path)
	}
}

// watched is a pool with a file, in a bubble.
func watched(t *testing.T, path string) (*balancer.Pool, *eventLog) {
	t.Helper()
	log := new(eventLog)
	p := newPool(t, balancer.Config{Resolver: balancer.File{Path: path}, Base: &farm{}, Events: log.add})
	synctest.Wait()
	return p, log
}

// rewrites are the ways in which a file comes to have other content; they run in a bubble.
func rewrites(t *testing.T, path string) map[string]func() {
	write := func(content string) { write(t, path, content) }
	return map[string]func(){
		"written": func() { write("http://b:1\n") },
		"replaced": func() {
			require.NoError(t, os.WriteFile(path+".new", []byte("http://b:1\n"), 0o600))
			require.NoError(t, os.Rename(path+".new", path))
		},
		"same size and time": func() {
			before := must(os.Stat(path))
			write("http://b:1\n")
			require.NoError(t, os.Chtimes(path, before.ModTime(), before.ModTime()))
		},
		"gone and back": func() {
			require.NoError(t, os.Remove(path))
			time.Sleep(3 * time.Second)
			write("http://b:1\n")
		},
		"emptied first": func() {
			write("")
			time.Sleep(3 * time.Second)
			write("http://b:1\n")
		},
	}
}

func TestAPoolSeesWithinASecondOrSoThatItsFileHasChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "targets")
	for name, change := range rewrites(t, path) {
		t.Run(name, func(t *testing.T) {
			write(t, path, "http://a:1\n")
			synctest.Test(t, func(t *testing.T) {
				p, _ := watched(t, path)
				time.Sleep(10*time.Second + 500*time.Millisecond)
				assert.Equal(t, []string{"http://a:1"}, listed(p))
				change()
				time.Sleep(2300 * time.Millisecond) // two polls, where it had failed, and to settle
				assert.Equal(t, []string{"http://b:1"}, listed(p))
			})
		})
	}
}

// As the kubelet does it: targets is a link to ..data/targets, and ..data one to a directory
// that is named after the time. Only ..data is replaced, and the old directory removed.
func TestAPoolSeesThatAConfigMapWasReplaced(t *testing.T) {
	dir := t.TempDir()
	put := func(version, content string) {
		require.NoError(t, os.Mkdir(filepath.Join(dir, version), 0o700))
		write(t, filepath.Join(dir, version, "targets"), content)
		require.NoError(t, os.Symlink(version, filepath.Join(dir, "..data_tmp")))
		require.NoError(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	put("..1", "http://a")
	path := filepath.Join(dir, "targets")
	require.NoError(t, os.Symlink(filepath.Join("..data", "targets"), path))
	synctest.Test(t, func(t *testing.T) {
		p, log := watched(t, path)
		put("..2", "http://b")
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "..1")))
		time.Sleep(1200 * time.Millisecond)
		assert.Equal(t, []string{"http://b"}, listed(p))
		assert.Zero(t, log.count(balancer.ResolveFailed))
	})
}

func TestAPoolKeepsItsTargetsWhileTheFileIsBrokenAndIsToldOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "targets")
	for name, broken := range map[string]func(){
		"broken":    func() { write(t, path, `["http://b"`) },
		"empty":     func() { write(t, path, "") },
		"all wrong": func() { write(t, path, "<html>\n<body>502 Bad Gateway</body>") },
		"too large": func() { write(t, path, strings.Repeat("http://b\n", 1<<20)) },
		"missing":   func() { require.NoError(t, os.Remove(path)) },
	} {
		t.Run(name, func(t *testing.T) {
			write(t, path, "http://a")
			synctest.Test(t, func(t *testing.T) {
				p, log := watched(t, path)
				broken()
				time.Sleep(time.Minute)
				assert.Equal(t, []string{"http://a"}, listed(p))
				assert.Equal(t, 1, log.count(balancer.ResolveFailed))
				write(t, path, "http://b")
				time.Sleep(1200 * time.Millisecond)
				assert.Equal(t, []string{"http://b"}, listed(p))
			})
		})
	}
}

// The rest would be a good list of a wrong address.
func TestAFileThatIsBeingWrittenIsNotTakenBeforeItHasSettled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "targets")
	write(t, path, "http://a")
	synctest.Test(t, func(t *testing.T) {
		p, log := watched(t, path)
		for half := "http://orders-1:8"; len(half) < 40; half += "0" {
			write(t, path, half)
			time.Sleep(90 * time.Millisecond)
			assert.Equal(t, []string{"http://a"}, listed(p))
		}
		write(t, path, "http://b")
		time.Sleep(1200 * time.Millisecond)
		assert.Equal(t, []string{"http://b"}, listed(p))
		assert.Zero(t, log.count(balancer.ResolveFailed))
	})
}

func TestTwoPoolsMayShareAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "targets")
	write(t, path, "http://a")
	synctest.Test(t, func(t *testing.T) {
		one, _ := watched(t, path)
		two, _ := watched(t, path)
		assert.Equal(t, []string{"http://a"}, listed(one))
		assert.Equal(t, []string{"http://a"}, listed(two))
	})
}

func FuzzTheFileOfTargets(f *testing.F) {
	f.Add([]byte("http://a\n# b\r\n\nhttp://c"))
	f.Add([]byte(`["http://a",{"url":"http://b","weight":2,"zone":"z","priority":1,"host":"h"}]`))
	f.Add([]byte("[null]"))
	f.Fuzz(func(t *testing.T, content []byte) {
		targets, err := balancer.ParseTargets(content)
		if err != nil {
			assert.Empty(t, targets)
			return
		}
		assert.NotEmpty(t, targets)
		assert.LessOrEqual(t, len(targets), len(content))
		again, err := balancer.ParseTargets(must(json.Marshal(targets)))
		require.NoError(t, err, "what it was read as can be written")
		assert.Len(t, again, len(targets))
	})
}
