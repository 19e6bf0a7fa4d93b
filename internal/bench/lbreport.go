package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// lbReport is the medians of a run.
type lbReport struct {
	machine   machine
	options   lbOptions
	scenarios []lbScenarioReport
}

type lbScenarioReport struct {
	Name     string           `json:"name"`
	Policies []lbPolicyReport `json:"policies"`
	Bounds   []lbBoundReport  `json:"bounds"`
}

type lbPolicyReport struct {
	Name    string             `json:"name"`
	Repeats int                `json:"repeats"` // that are not void
	Values  map[string]*spread `json:"values"`
	Ratios  map[string]*spread `json:"ratios"` // to the reference in the same repeat; none of errors
}

// lbBoundReport is a bound, and what was found. Not measured is not held.
type lbBoundReport struct {
	Name  string   `json:"name"`
	Most  float64  `json:"most"`
	Found *float64 `json:"found"`
	Held  bool     `json:"held"`
}

func newLBReport(o lbOptions, repeats []lbRepeat) *lbReport {
	r := &lbReport{machine: thisMachine(), options: o}
	for _, s := range o.scenarios {
		r.scenarios = append(r.scenarios, lbSummary(o, s, repeats))
	}
	return r
}

func lbSummary(o lbOptions, s lbScenario, repeats []lbRepeat) lbScenarioReport {
	summary := lbScenarioReport{Name: s.name}
	reference := s.policies[0].name
	for i, policy := range s.policies {
		if !o.wants(i, policy) {
			continue
		}
		p := lbPolicyReport{Name: policy.name, Values: map[string]*spread{}, Ratios: map[string]*spread{}}
		for _, r := range repeats {
			if _, ok := r[s.name][policy.name]; ok {
				p.Repeats++
			}
		}
		for _, q := range lbQuantities {
			p.Values[q] = lbOver(repeats, s.name, policy.name, "", q)
			if i > 0 && q != "errors" {
				p.Ratios[q] = lbOver(repeats, s.name, policy.name, reference, q)
			}
		}
		summary.Policies = append(summary.Policies, p)
	}
	for _, b := range s.bounds {
		to := ""
		if b.ratio {
			to = reference
		}
		found := lbOver(repeats, s.name, b.policy, to, b.quantity).median()
		summary.Bounds = append(summary.Bounds, lbBoundReport{
			Name: lbBoundName(s, b), Most: b.most, Found: found, Held: found != nil && *found <= b.most,
		})
	}
	return summary
}

// lbBoundName is also the member of the JSON object.
func lbBoundName(s lbScenario, b lbBound) string {
	name := s.name + "_" + strings.ReplaceAll(b.policy, "-", "_") + "_" + b.quantity
	if b.ratio {
		name += "_ratio"
	}
	return name
}

// lbOver is a quantity of a policy over the repeats, as a ratio to that of another one in
// the same repeat if there is one.
func lbOver(repeats []lbRepeat, scenario, policy, to, quantity string) *spread {
	var values []float64
	for _, r := range repeats {
		sample, ok := r[scenario][policy]
		if !ok {
			continue
		}
		value := sample[quantity]
		if to != "" {
			reference, ok := r[scenario][to]
			if !ok {
				continue
			}
			value /= reference[quantity]
		}
		values = append(values, value)
	}
	return spreadOf(values)
}

// verdict is an error if a scenario has nothing to show, or if it is asked to check and a
// bound is missed.
func (r *lbReport) verdict(check bool) error {
	var errs []error
	for _, s := range r.scenarios {
		for _, p := range s.Policies {
			if p.Repeats == 0 {
				errs = append(errs, fmt.Errorf("all measurements are void: %s %s", s.Name, p.Name))
			}
		}
		for _, b := range s.Bounds {
			if check && !b.Held {
				errs = append(errs, fmt.Errorf("a bound is missed: %s", b.Name))
			}
		}
	}
	return errors.Join(errs...)
}

// writeJSON writes one object: what is bounded as members of their own, for scripts, and
// all there is to know in lists.
func (r *lbReport) writeJSON(w io.Writer) error {
	object := map[string]any{
		"machine":      r.machine,
		"repeats":      r.options.repeats,
		"time_seconds": r.options.time.Seconds(),
		"scenarios":    r.scenarios,
	}
	for _, s := range r.scenarios {
		for _, b := range s.Bounds {
			object[b.Name] = b.Found
		}
	}
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(object)
}

func (r *lbReport) writeTable(w io.Writer) error {
	fmt.Fprintf(w, "%s, %d cores, %s, %s\n", r.machine.CPU, r.machine.Cores, r.machine.OS, r.machine.Go)
	fmt.Fprintf(w, "Repeats: %d of %v, the first fifth dropped. Medians (lowest..highest); times in ms.\n\n",
		r.options.repeats, r.options.time)
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, s := range r.scenarios {
		fmt.Fprintf(t, "%s\trepeats\tp50\tp90\tp99\tmean\terrors %%\tasked\n", s.Name)
		for _, p := range s.Policies {
			fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Name, p.Repeats,
				p.Values["p50"].format(1), p.Values["p90"].format(1), p.Values["p99"].format(1), p.Values["mean"].format(1),
				percent(p.Values["errors"]).format(3), p.Values["asked"].format(3))
		}
		for _, p := range s.Policies[1:] {
			fmt.Fprintf(t, "%s / %s\t\t%s\t%s\t%s\t%s\t\t%s\n", p.Name, s.Policies[0].Name,
				p.Ratios["p50"].format(2), p.Ratios["p90"].format(2), p.Ratios["p99"].format(2), p.Ratios["mean"].format(2),
				p.Ratios["asked"].format(3))
		}
		fmt.Fprintln(t)
		if err := t.Flush(); err != nil {
			return err
		}
	}
	fmt.Fprintln(t, "bound\tat most\tfound\theld")
	for _, s := range r.scenarios {
		for _, b := range s.Bounds {
			found := "-"
			if b.Found != nil {
				found = fmt.Sprintf("%.4g", *b.Found)
			}
			fmt.Fprintf(t, "%s\t%v\t%s\t%v\n", b.Name, b.Most, found, b.Held)
		}
	}
	return t.Flush()
}

func percent(s *spread) *spread {
	if s == nil {
		return nil
	}
	return &spread{100 * s.Median, 100 * s.Min, 100 * s.Max}
}
