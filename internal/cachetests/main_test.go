// Package cachetests runs cache against the public conformance suite for HTTP caches, Mark
// Nottingham's http-cache-tests, on Node.js.
package cachetests

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway"
	"github.com/gatewright/gateway/cache"
)

const suite = "node_modules/http-cache-tests"

// need returns the path of a program. Without it the test is skipped, and fails in CI.
func need(t *testing.T, program, install string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	switch {
	case err != nil && os.Getenv("CI") == "true":
		t.Fatalf("no %s on this machine: %s", program, install)
	case err != nil:
		t.Skipf("no %s on this machine: %s", program, install)
	}
	return path
}

func installSuite(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(suite); err == nil {
		return
	}
	npm := need(t, "npm", "apt-get install npm")
	out, err := exec.CommandContext(t.Context(), npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund").CombinedOutput()
	require.NoError(t, err, "npm ci: %s", out)
}

// command returns node with a program of the suite. What it is told in variables it would
// have from npm, and the empty ones are not to come from there.
func command(t *testing.T, node, program string, variables ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), node, "--no-warnings", program)
	cmd.Dir = suite
	cmd.Env = append(os.Environ(), "npm_config_id=", "npm_package_config_id=")
	cmd.Env = append(cmd.Env, variables...)
	return cmd
}

// startOrigin starts the suite's server on a free port, until the test ends.
func startOrigin(t *testing.T, node string) (host string) {
	t.Helper()
	cmd := command(t, node, "server/server.mjs",
		"npm_config_protocol=http", "npm_config_port=0", "npm_config_pidfile="+filepath.Join(t.TempDir(), "pid"))
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	drained := make(chan struct{})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-drained
		_ = cmd.Wait() // it was killed
	})
	lines := bufio.NewReader(out)
	first, err := lines.ReadString('\n')
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, lines)
	}()
	require.NoError(t, err, "the origin did not start")
	_, port, found := strings.Cut(strings.TrimRight(first, "/\n"), "]:")
	require.True(t, found, first)
	return "localhost:" + port
}

// upstream asks the origin once. A pool would repeat what fails, and the suite counts.
type upstream struct {
	*http.Transport
	host string
}

func (u upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	out := r.WithContext(r.Context())
	to := *r.URL
	to.Scheme, to.Host = "http", u.host
	out.URL = &to
	return u.Transport.RoundTrip(out)
}

// startGateway starts a gateway with a cache in front of the origin.
func startGateway(t *testing.T, origin string) (url string) {
	base := upstream{&http.Transport{DisableCompression: true}, origin}
	t.Cleanup(base.CloseIdleConnections)
	gw := gateway.New()
	// Sharing cookies is not the default: the suite wants them stored.
	c := &cache.Transport{Store: cache.Memory(64 << 20), ShareCookies: true}
	gw.Handle("/", gateway.Proxy(base), c.Wrap)
	server := httptest.NewServer(gw)
	t.Cleanup(server.Close)
	return server.URL
}

// results are the outcomes by the tests' names: true, or why not.
type results map[string]any

func (r results) passed(kinds map[string]string, kind string) (n int) {
	for name, k := range kinds {
		if k == kind && r[name] == true {
			n++
		}
	}
	return n
}

// runSuite returns the results of all tests.
func runSuite(t *testing.T) results {
	t.Helper()
	node := need(t, "node", "apt-get install nodejs")
	installSuite(t)
	gw := startGateway(t, startOrigin(t, node))
	cmd := command(t, node, "cli.mjs", "npm_config_base="+gw)
	var report strings.Builder
	cmd.Stderr = &report
	out, err := cmd.Output()
	require.NoError(t, err, report.String())
	return read(t, out)
}

func read(t *testing.T, b []byte) results {
	t.Helper()
	var r results
	require.NoError(t, json.Unmarshal(b, &r))
	return r
}

// kinds returns of which kind each test is that is for a cache behind a server, too:
// required, optimal, or check, which only asks what a cache does.
func kinds(t *testing.T) map[string]string {
	t.Helper()
	const list = `import tests from './tests/index.mjs'
console.log(JSON.stringify(Object.fromEntries(tests.flatMap(s => s.tests)
  .filter(t => !t.browser_only).map(t => [t.id, t.kind || 'required']))))`
	cmd := exec.CommandContext(t.Context(), need(t, "node", "apt-get install nodejs"), "--input-type=module", "-e", list)
	cmd.Dir = suite
	out, err := cmd.Output()
	require.NoError(t, err)
	var k map[string]string
	require.NoError(t, json.Unmarshal(out, &k))
	return k
}

// published returns the results of other caches that come with the suite.
func published(t *testing.T) map[string]results {
	t.Helper()
	files, err := filepath.Glob(suite + "/results/*.json")
	require.NoError(t, err)
	all := make(map[string]results)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		all[strings.TrimSuffix(filepath.Base(f), ".json")] = read(t, b)
	}
	return all
}
