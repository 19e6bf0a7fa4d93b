package rediscache_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// go-redis is chatty on stderr about connections that these tests break on purpose.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func TestMain(m *testing.M) {
	redis.SetLogger(silent{})
	begun := goleak.IgnoreCurrent() // go-redis keeps a clock
	code := m.Run()
	// What go-redis dials ends with its own time limits, after the client was closed.
	for end := time.Now().Add(10 * time.Second); code == 0; <-time.After(100 * time.Millisecond) {
		err := goleak.Find(begun)
		if err == nil {
			break
		}
		if time.Now().After(end) {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

// server is a Redis of the test's own.
type server struct {
	t       *testing.T
	dir     string
	args    []string
	process *exec.Cmd
}

// startServer starts a Redis on a socket in a folder, and with what args say.
func startServer(t *testing.T, args ...string) *server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		const command = "apt-get install -y redis-server"
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no redis-server: " + command)
		}
		t.Skip("there is no redis-server: " + command)
	}
	dir, err := os.MkdirTemp("", "redis") //nolint:usetesting // the path of a socket must be short
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &server{t: t, dir: dir, args: args}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) socket() string { return filepath.Join(s.dir, "redis.sock") }

func (s *server) start() {
	s.t.Helper()
	args := append([]string{"--port", "0", "--unixsocket", s.socket(), "--dir", s.dir, "--save", "", "--appendonly", "no"}, s.args...)
	s.process = exec.Command("redis-server", args...)
	require.NoError(s.t, s.process.Start())
	client := s.client()
	require.Eventually(s.t, func() bool { return client.Ping(context.Background()).Err() == nil }, 10*time.Second, 10*time.Millisecond)
	require.NoError(s.t, client.Close())
}

// kill is kill -9.
func (s *server) kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// hang stops the process, as a host that swaps or a disk that stands still would: the
// connections stay, and even new ones are accepted.
func (s *server) hang() { require.NoError(s.t, s.process.Process.Signal(syscall.SIGSTOP)) }

func (s *server) goOn() { require.NoError(s.t, s.process.Process.Signal(syscall.SIGCONT)) }

// options are those that the package's comment advises.
func (s *server) options() *redis.Options {
	return &redis.Options{
		Network: "unix", Addr: s.socket(),
		ContextTimeoutEnabled: true,
		DialTimeout:           time.Second,
		DialerRetries:         1,
		MaxRetries:            1,
	}
}

func (s *server) client() *redis.Client {
	client := redis.NewClient(s.options())
	s.t.Cleanup(func() { _ = client.Close() })
	return client
}

// cli sends a command over a connection of its own, as somebody else would.
func (s *server) cli(args ...any) any {
	s.t.Helper()
	client := s.client()
	defer func() { _ = client.Close() }()
	val, err := client.Do(s.t.Context(), args...).Result()
	require.NoError(s.t, err)
	return val
}

// keys are all the keys that there are.
func (s *server) keys() []string {
	s.t.Helper()
	client := s.client()
	defer func() { _ = client.Close() }()
	keys, err := client.Keys(s.t.Context(), "*").Result()
	require.NoError(s.t, err)
	return keys
}

// freePort returns a port of the loopback that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()[strings.LastIndex(l.Addr().String(), ":")+1:]
}

// blackHole accepts connections, and never says anything.
func blackHole(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String() // the kernel accepts
}
