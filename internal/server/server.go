// Package server runs a handler behind a listener until a context ends, and then lets
// the requests under way finish.
package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// Config is what is served, and how it ends.
type Config struct {
	Handler  http.Handler
	Drain    time.Duration // how long requests may finish; zero: 30 s
	ErrorLog *log.Logger   // nil: the standard logger
}

const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	defaultDrain      = 30 * time.Second
)

// Serve serves on l until ctx ends. It returns nil if all requests then finished in time.
func Serve(ctx context.Context, l net.Listener, c Config) error {
	// The end of ctx begins the drain, it does not cut requests off.
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var active sync.WaitGroup // http.Server does not know those that were upgraded
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			active.Add(1)
			defer active.Done()
			c.Handler.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          c.ErrorLog,
		BaseContext:       func(net.Listener) context.Context { return requests },
	}
	var failure error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		failure = server.Serve(l)
	}()
	select {
	case <-ended:
		return fmt.Errorf("serve: %w", failure)
	case <-ctx.Done():
	}
	err := drain(server, &active, cmp.Or(c.Drain, defaultDrain))
	<-ended
	return err
}

// drain waits for the requests under way, and cuts off those that do not end in time.
func drain(server *http.Server, active *sync.WaitGroup, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	err := server.Shutdown(ctx)
	if err == nil {
		idle := make(chan struct{})
		go func() {
			active.Wait()
			close(idle)
		}()
		select {
		case <-idle:
			return nil
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return fmt.Errorf("drain: %w", errors.Join(err, server.Close()))
}
