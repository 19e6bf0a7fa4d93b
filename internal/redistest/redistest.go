// Package redistest starts a real redis-server for a test.
package redistest

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const missing = "no redis-server on this machine: apt-get install redis-server"

// Server is a redis-server of one test alone, on a Unix socket. It keeps nothing.
type Server struct {
	t      *testing.T
	socket string
	cmd    *exec.Cmd
}

// Start starts a server that ends with the test. Where there is none on the machine the
// test is skipped, and fails in CI.
func Start(t *testing.T) *Server {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	switch {
	case err != nil && os.Getenv("CI") == "true":
		t.Fatal(missing)
	case err != nil:
		t.Skip(missing)
	}
	dir, err := os.MkdirTemp("", "redis") //nolint:usetesting // the path by t.TempDir has the test's name in it, and a socket's ends at 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &Server{t: t, socket: filepath.Join(dir, "s")}
	s.cmd = exec.Command(path, "--port", "0", "--unixsocket", s.socket, "--save", "", "--appendonly", "no", "--dir", dir)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	s.await()
	return s
}

func (s *Server) await() {
	client := s.Client()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		if client.Ping(s.t.Context()).Err() == nil {
			return
		}
		<-tick.C
	}
	s.t.Fatal("redis-server does not answer")
}

// Client returns a client of the server, which ends with the test.
func (s *Server) Client() *redis.Client {
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: s.socket, ContextTimeoutEnabled: true})
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// Kill ends the server at once.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// Stop has the server hang: it accepts connections and answers nothing, until it is killed.
func (s *Server) Stop() {
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		s.t.Fatal(err)
	}
}
