package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/pprof"
	"syscall"
	"time"
)

// setup is what a process is told before it begins.
type setup struct {
	Listeners int      // how many addresses it is asked under
	Backends  []string // URLs of one and the same backend; a scenario uses as many as it needs
	Key       []byte   // of the tokens: an RSA public key, PKIX in DER
	Profile   string   // file for a CPU profile; empty: none
}

// server makes of a setup what answers on a listener.
type server func(setup) (func(net.Listener) error, error)

// overHTTP is a server by net/http, with the limits that a gateway.Gateway's Serve
// has: all scenarios have the same, so that only the handlers differ.
func overHTTP(handler func(setup) (http.Handler, error)) server {
	return func(s setup) (func(net.Listener) error, error) {
		h, err := handler(s)
		if err != nil {
			return nil, err
		}
		server := &http.Server{
			Handler:           h,
			ReadHeaderTimeout: 10 * time.Second,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    64 << 10,
		}
		return server.Serve, nil
	}
}

// play is the process of a role, until its standard input ends. It reads the setup
// and writes its addresses, and from then on answers every JSON value with its CPU
// time. What it has opened ends with the process.
func play(name string, in io.Reader, out io.Writer) error {
	questions, answers := json.NewDecoder(in), json.NewEncoder(out)
	var s setup
	if err := questions.Decode(&s); err != nil {
		return fmt.Errorf("setup: %w", err)
	}
	stop, err := profile(s.Profile)
	if err != nil {
		return err
	}
	addrs, err := open(name, s)
	if err == nil {
		err = answers.Encode(addrs)
	}
	for err == nil {
		var question any
		if err = questions.Decode(&question); err == nil {
			err = answers.Encode(cpuTime())
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, stop())
}

func open(name string, s setup) ([]string, error) {
	serve, err := roleNamed(name)(s)
	if err != nil {
		return nil, err
	}
	addrs := make([]string, s.Listeners)
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		addrs[i] = l.Addr().String()
		go func() { fmt.Fprintf(os.Stderr, "bench: %s: %v\n", name, serve(l)) }()
	}
	return addrs, nil
}

func roleNamed(name string) server {
	if name == backendRole {
		return backend
	}
	if name == lbBackendRole {
		return lbServer
	}
	for _, s := range scenarios {
		if s.name == name {
			return s.serve
		}
	}
	return func(setup) (func(net.Listener) error, error) { return nil, fmt.Errorf("there is no role %q", name) }
}

// cpuTime is what this process has used so far, in user and system mode. The
// kernel counts it in nanoseconds; /proc has it in ticks of 10 ms.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // only for arguments that are wrong
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// profile writes a CPU profile to file until stop is called.
func profile(file string) (stop func() error, err error) {
	if file == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
