// Package oidctest tests auth/oidc with what it is for: a real browser, Chromium, and a real
// OpenID provider, oidc-provider on Node.js.
package oidctest

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

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

// startProvider starts an OpenID provider that ends with the test, and returns its issuer.
func startProvider(t *testing.T, site string, ttl time.Duration) string {
	t.Helper()
	node := need(t, "node", "apt-get install nodejs")
	installModules(t)
	cmd := exec.Command(node, "provider.mjs")
	cmd.Env = append(os.Environ(),
		"REDIRECT_URI="+site+"/auth/callback", "AFTER_LOGOUT="+site+"/", "ACCESS_TTL="+strconv.Itoa(int(ttl.Seconds())))
	var log strings.Builder
	cmd.Stderr = &log
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan(), "the provider did not start")
	return lines.Text()
}

func installModules(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("node_modules/oidc-provider"); err == nil {
		return
	}
	npm := need(t, "npm", "apt-get install npm")
	out, err := exec.CommandContext(t.Context(), npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund").CombinedOutput()
	require.NoError(t, err, "npm ci: %s", out)
}

// startBrowser starts a headless Chromium without a past, which ends with the test.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	chromium := need(t, "chromium", "apt-get install chromium")
	profile, err := os.MkdirTemp("", "chromium")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(profile) })
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(chromium), chromedp.UserDataDir(profile)}
	for _, flag := range []string{
		"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
		"disable-component-update", "disable-sync", "ignore-certificate-errors",
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(ctx)) // starts it, on a context without a shorter time
	return ctx
}

// listen returns a listener, and the address that an https server on it will have: the
// provider has to know it before the gateway can be made.
func listen(t *testing.T) (net.Listener, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l, "https://" + l.Addr().String()
}

func serveTLS(t *testing.T, l net.Listener, h http.Handler) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = l
	s.StartTLS()
	t.Cleanup(s.Close)
}
