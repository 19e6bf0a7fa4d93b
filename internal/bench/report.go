package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// report is the medians of a run.
type report struct {
	machine     machine
	options     options
	scenarios   []scenarioReport
	comparisons []comparisonReport
}

type scenarioReport struct {
	Name   string  `json:"name"`
	Rounds int     `json:"rounds"` // that are not void
	RPS    *spread `json:"requests_per_second"`
	CPU    *spread `json:"cpu_us_per_request"`
	P50    *spread `json:"p50_us"`
	P99    *spread `json:"p99_us"`
}

type comparisonReport struct {
	Name string  `json:"name"`
	Of   string  `json:"of"`
	To   string  `json:"to"`
	CPU  *spread `json:"cpu_ratio"`
	RPS  *spread `json:"rps_ratio"`
}

func newReport(o options, rounds []round) *report {
	r := &report{machine: thisMachine(), options: o}
	for _, s := range o.scenarios {
		of := func(quantity func(sample) float64) *spread { return over(rounds, s.name, quantity) }
		r.scenarios = append(r.scenarios, scenarioReport{
			Name:   s.name,
			Rounds: valid(rounds, s.name),
			RPS:    of(func(s sample) float64 { return s.rps }),
			CPU:    of(func(s sample) float64 { return s.cpu }),
			P50:    of(func(s sample) float64 { return s.p50 }),
			P99:    of(func(s sample) float64 { return s.p99 }),
		})
	}
	for _, s := range scenarios { // all, so that the JSON object always has the same members
		for _, c := range s.against {
			r.comparisons = append(r.comparisons, comparisonReport{
				Name: c.name, Of: s.name, To: c.to,
				CPU: ratio(rounds, s.name, c.to, func(s sample) float64 { return s.cpu }),
				RPS: ratio(rounds, s.name, c.to, func(s sample) float64 { return s.rps }),
			})
		}
	}
	return r
}

func valid(rounds []round, name string) (n int) {
	for _, r := range rounds {
		if _, ok := r[name]; ok {
			n++
		}
	}
	return n
}

func over(rounds []round, name string, quantity func(sample) float64) *spread {
	var values []float64
	for _, r := range rounds {
		if s, ok := r[name]; ok {
			values = append(values, quantity(s))
		}
	}
	return spreadOf(values)
}

// ratio is computed within each round: both sides then had the machine in the same
// mood, which the ratio of two medians would not know.
func ratio(rounds []round, of, to string, quantity func(sample) float64) *spread {
	var values []float64
	for _, r := range rounds {
		a, ok := r[of]
		b, there := r[to]
		if ok && there {
			values = append(values, quantity(a)/quantity(b))
		}
	}
	return spreadOf(values)
}

// complete is an error if there is a scenario of which all measurements are void.
func (r *report) complete() error {
	var void []string
	for _, s := range r.scenarios {
		if s.Rounds == 0 {
			void = append(void, s.Name)
		}
	}
	if len(void) > 0 {
		return fmt.Errorf("all measurements are void: %s", strings.Join(void, ", "))
	}
	return nil
}

// writeJSON writes one object: the ratios' medians as members of their own, for
// scripts, and all there is to know of them in lists.
func (r *report) writeJSON(w io.Writer) error {
	object := map[string]any{
		"machine":      r.machine,
		"rounds":       r.options.rounds,
		"time_seconds": r.options.time.Seconds(),
		"connections":  r.options.conns,
		"scenarios":    r.scenarios,
		"comparisons":  r.comparisons,
	}
	for _, c := range r.comparisons {
		object[c.Name+"_cpu_ratio"] = c.CPU.median()
		object[c.Name+"_rps_ratio"] = c.RPS.median()
	}
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(object)
}

func (r *report) writeTable(w io.Writer) error {
	fmt.Fprintf(w, "%s, %d cores, %s, %s\n", r.machine.CPU, r.machine.Cores, r.machine.OS, r.machine.Go)
	fmt.Fprintf(w, "Rounds: %d of %v, over %d connections. Medians (lowest..highest).\n\n",
		r.options.rounds, r.options.time, r.options.conns)
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "scenario\trounds\trequests/s\tCPU µs/request\tp50 µs\tp99 µs")
	for _, s := range r.scenarios {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\n", s.Name, s.Rounds,
			s.RPS.format(0), s.CPU.format(1), s.P50.format(0), s.P99.format(0))
	}
	fmt.Fprintln(t)
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(t, "ratio\tof\tto\tCPU\trequests/s")
	for _, c := range r.comparisons {
		if c.CPU != nil {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", c.Name, c.Of, c.To, c.CPU.format(2), c.RPS.format(2))
		}
	}
	return t.Flush()
}
