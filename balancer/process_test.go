package balancer_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewright/gateway/balancer"
)

// backendRole has the test binary be a backend, on the address that it names.
const backendRole = "BALANCER_TEST_BACKEND"

func playBackend(addr string) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	fmt.Println(l.Addr())
	_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // G114: a test's backend, which is killed
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%s %d", r.Method, n)
	}))
}

// process is a backend in a process of its own, which can be killed.
type process struct {
	cmd  *exec.Cmd
	addr string
}

func startProcess(t *testing.T, addr string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), backendRole+"="+addr)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	line = strings.TrimSpace(line)
	require.NotContains(t, line, "error")
	return &process{cmd, line}
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // says that it was killed
}

// load sends requests at a steady rate until ctx ends, whether or not they are answered,
// and returns how many there were and what went wrong.
func load(ctx context.Context, p *balancer.Pool, every time.Duration, methods ...string) (int, []string) {
	var group sync.WaitGroup
	var mu sync.Mutex
	var faults []string
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	sent := 0
	for begin := time.Now(); ctx.Err() == nil; <-ticker.C {
		for ; time.Duration(sent)*every <= time.Since(begin); sent++ { // a busy machine swallows ticks
			method := methods[sent%len(methods)]
			group.Go(func() {
				if err := once(p, method); err != nil {
					mu.Lock()
					faults = append(faults, method+": "+err.Error())
					mu.Unlock()
				}
			})
		}
	}
	group.Wait()
	return sent, faults
}

func once(p *balancer.Pool, method string) error {
	var body io.Reader
	size := 0
	if method != http.MethodGet && method != http.MethodDelete {
		size = 10_000
		body = stream(strings.NewReader(strings.Repeat("x", size)))
	}
	r, err := http.NewRequestWithContext(context.Background(), method, "/", body)
	if err != nil {
		return err
	}
	r.Host = ""
	res, err := p.RoundTrip(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err == nil && string(got) != fmt.Sprintf("%s %d", method, size) {
		err = fmt.Errorf("status %d, %q", res.StatusCode, got)
	}
	return err
}

func threeProcesses(t *testing.T) ([]*process, []string) {
	var processes []*process
	var targets []string
	for range 3 {
		p := startProcess(t, "127.0.0.1:0")
		processes = append(processes, p)
		targets = append(targets, "http://"+p.addr)
	}
	return processes, targets
}

// 1,000 GET a second, and one of three backends is killed with -9.
func TestKillingABackendProcessFailsNoRequest(t *testing.T) {
	processes, targets := threeProcesses(t)
	p := newPool(t, balancer.Config{Targets: targets})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	time.AfterFunc(700*time.Millisecond, processes[1].kill)
	sent, faults := load(ctx, p, time.Millisecond, http.MethodGet)
	assert.Empty(t, faults)
	assert.Greater(t, sent, 1900)
	assert.Positive(t, p.Snapshot().Endpoints[1].Failures)
}

// Each backend in turn is drained, killed, started again and given requests again.
func TestARollingDeploymentFailsNoRequestOfAnyMethod(t *testing.T) {
	processes, targets := threeProcesses(t)
	p := newPool(t, balancer.Config{Targets: targets, SlowStart: 300 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type outcome struct {
		sent   int
		faults []string
	}
	loaded := make(chan outcome)
	go func() {
		sent, faults := load(ctx, p, time.Millisecond,
			http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete)
		loaded <- outcome{sent, faults}
	}()
	total := func() (n int64) {
		for _, e := range p.Snapshot().Endpoints {
			n += e.Attempts
		}
		return n
	}
	for i, e := range p.Endpoints() {
		before := total()
		require.Eventually(t, func() bool { return total() > before+200 }, 10*time.Second, time.Millisecond)
		require.NoError(t, e.Drain(t.Context()))
		processes[i].kill()
		startProcess(t, processes[i].addr)
		e.Resume()
		sent := p.Snapshot().Endpoints[i].Attempts
		assert.Eventually(t, func() bool { return p.Snapshot().Endpoints[i].Attempts > sent }, 10*time.Second, time.Millisecond,
			"it is given requests again")
	}
	cancel()
	all := <-loaded
	assert.Empty(t, all.faults)
	assert.Greater(t, all.sent, 600)
}
