package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// lbCommand measures balancers instead of costs.
const lbCommand = "lb"

// runBalancing is the program for lbCommand.
func runBalancing(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parseBalancing(args, stderr)
	if err != nil {
		return err
	}
	measured, err := o.measure(ctx, stderr)
	if err != nil {
		return err
	}
	report := newLBReport(o, measured)
	if o.json {
		err = report.writeJSON(stdout)
	} else {
		err = report.writeTable(stdout)
	}
	return errors.Join(err, report.verdict(o.check))
}

// lbOptions are the flags of lbCommand.
type lbOptions struct {
	repeats   int
	time      time.Duration // of one measurement, of which the first fifth is dropped
	scenarios []lbScenario
	policies  []string      // empty: all
	late      time.Duration // how late the generator's p99 may be: if it is more, it was the machine that was measured
	json      bool
	check     bool
}

func parseBalancing(args []string, stderr io.Writer) (lbOptions, error) {
	var o lbOptions
	flags := flag.NewFlagSet("bench "+lbCommand, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.repeats, "repeats", 3, "`number` of repeats, of which the results are the medians")
	flags.DurationVar(&o.time, "time", 20*time.Second, "`duration` of one measurement; the first fifth is dropped")
	flags.DurationVar(&o.late, "late", 15*time.Millisecond, "`duration` by which the load may be late; by more, the measurement is void")
	flags.BoolVar(&o.json, "json", false, "print one JSON object instead of tables")
	flags.BoolVar(&o.check, "check", false, "fail if a bound is missed")
	only := flags.String("only", "", "comma-separated `names` of scenarios (default: all, which are "+
		strings.Join(lbNames(), ", ")+")")
	policies := flags.String("policies", "", "comma-separated `names` of policies besides the reference (default: all)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 || o.repeats < 1 || o.time <= 0 {
		return o, errors.New("flags only, and numbers above zero; see -help")
	}
	if *policies != "" {
		o.policies = strings.Split(*policies, ",")
	}
	return o, errors.Join(o.choose(*only), o.knowPolicies())
}

// choose sets the scenarios to those of a comma-separated list.
func (o *lbOptions) choose(only string) error {
	o.scenarios = lbScenarios
	if only == "" {
		return nil
	}
	wanted := strings.Split(only, ",")
	for _, name := range wanted {
		if !slices.Contains(lbNames(), name) {
			return fmt.Errorf("there is no scenario %q", name)
		}
	}
	o.scenarios = slices.DeleteFunc(slices.Clone(lbScenarios), func(s lbScenario) bool {
		return !slices.Contains(wanted, s.name)
	})
	return nil
}

// knowPolicies is an error if a policy is asked for that no scenario has.
func (o *lbOptions) knowPolicies() error {
	for _, name := range o.policies {
		if !slices.ContainsFunc(o.scenarios, func(s lbScenario) bool {
			return slices.ContainsFunc(s.policies, func(p lbPolicy) bool { return p.name == name })
		}) {
			return fmt.Errorf("there is no policy %q", name)
		}
	}
	return nil
}

// wants reports whether the ith policy of a scenario is to be measured. The first is what
// the others are compared with.
func (o *lbOptions) wants(i int, p lbPolicy) bool {
	return i == 0 || len(o.policies) == 0 || slices.Contains(o.policies, p.name)
}
