// Command bench measures what a request costs in a gateway, side by side in one run:
// in this library's, in [httputil.ReverseProxy], in fasthttp's client, in a gateway
// wired by hand. The absolute numbers are this machine's; the ratios are the promise.
//
//	go run -C internal/bench .
//	go run -C internal/bench . -json
//	go run -C internal/bench . -only gatewright-plain,reverseproxy -rounds 9
//
// Each scenario is a process of its own, and so is the backend, which answers with
// 1 KiB of JSON. This process is the clients, each of whom has one connection and
// sends the next request when it has the last answer. Every answer is checked; one
// that is wrong voids the measurement.
//
//	this process ──► role: gatewright-plain, reverseproxy, … ──► role: backend
//	   │ 64 connections    one process for each measurement        one for the run
//	   └── asks the role for its CPU time, before and after
//
// A round measures every scenario once, and each round begins with another one. What
// disturbs a machine for longer than one measurement so disturbs both sides of a
// ratio, and the median of the rounds forgets what does not. A machine that does
// nothing else is still the best.
//
// With the command lb it measures how well balancers choose instead, by what times and
// errors clients see while backends are slow, fail or pause:
//
//	go run -C internal/bench . lb
//	go run -C internal/bench . lb -only mixed,fail -time 8s -json
//
// The backends are a process again, and do nothing but wait as long as a request says.
// Requests come when they come, and go through eight pools in turn.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// roleFlag is for the processes that this one starts.
const roleFlag = "-role"

// run is main without the process.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) == 2 && args[0] == roleFlag {
		return play(args[1], stdin, stdout)
	}
	if len(args) > 0 && args[0] == lbCommand {
		return runBalancing(ctx, args[1:], stdout, stderr)
	}
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	rounds, err := o.measure(ctx, stderr)
	if err != nil {
		return err
	}
	report := newReport(o, rounds)
	if o.json {
		err = report.writeJSON(stdout)
	} else {
		err = report.writeTable(stdout)
	}
	return errors.Join(err, report.complete())
}

// options are the flags.
type options struct {
	rounds    int
	time      time.Duration // of one measurement
	conns     int
	scenarios []scenario // those to measure
	json      bool
	profiles  string // folder; empty: none
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.rounds, "rounds", 5, "`number` of rounds, of which the results are the medians")
	flags.DurationVar(&o.time, "time", 4*time.Second, "`duration` of one measurement, after a warm-up")
	flags.IntVar(&o.conns, "conns", 64, "`number` of connections")
	flags.BoolVar(&o.json, "json", false, "print one JSON object instead of tables")
	flags.StringVar(&o.profiles, "cpuprofile", "", "write a CPU profile of each measured process into `folder`")
	only := flags.String("only", "", "comma-separated `names` of the scenarios to measure (default: all, which are "+
		strings.Join(names(scenarios), ", ")+")")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 || o.rounds < 1 || o.time <= 0 || o.conns < 1 {
		return o, errors.New("flags only, and numbers above zero; see -help")
	}
	var err error
	o.scenarios, err = chosen(*only)
	return o, err
}

// chosen returns the scenarios of a comma-separated list, in the table's order.
func chosen(only string) ([]scenario, error) {
	if only == "" {
		return scenarios, nil
	}
	wanted := strings.Split(only, ",")
	for _, name := range wanted {
		if !slices.Contains(names(scenarios), name) {
			return nil, fmt.Errorf("there is no scenario %q", name)
		}
	}
	return slices.DeleteFunc(slices.Clone(scenarios), func(s scenario) bool {
		return !slices.Contains(wanted, s.name)
	}), nil
}
