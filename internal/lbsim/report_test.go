package lbsim_test

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	reportFile = "testdata/report.md"
	reportHead = `# What the simulation finds

Written by ` + "`go test ./internal/lbsim -run Report -update`" + `, of the seed 1000. The test of
that name fails if what it finds is not what is written here, to within what the balancers' own
draws change.
`
)

// table is a part of the report.
type table struct {
	title   string
	labels  []string // columns that say what a row is about
	columns []column // of numbers
	rows    []row
}

// column is a quantity, and by how much it may change: by a share of itself and by so much
// besides.
type column struct {
	name      string
	share, by float64
}

type row struct {
	labels  []string
	numbers []float64
	leeway  float64 // times what the columns allow. Zero means 1
}

func (r row) name() string { return strings.Join(r.labels, " | ") }

func (x table) write(b *strings.Builder) {
	header := append([]string{}, x.labels...)
	for _, c := range x.columns {
		header = append(header, c.name)
	}
	fmt.Fprintf(b, "\n## %s\n\n| %s |\n|%s\n", x.title, strings.Join(header, " | "), strings.Repeat("---|", len(header)))
	for _, r := range x.rows {
		fmt.Fprintf(b, "| %s |", r.name())
		for _, n := range r.numbers {
			fmt.Fprintf(b, " %s |", figure(n))
		}
		b.WriteString("\n")
	}
}

// figure is n to four digits, none of them after the thousandths.
func figure(n float64) string {
	decimals := 3
	if n >= 10 {
		decimals = 1
	}
	return strconv.FormatFloat(n, 'f', decimals, 64)
}

func TestTheReportSaysWhatIsFound(t *testing.T) {
	tables := []table{balancingTable(t), brownoutTable(t), pageTable(t)}
	var b strings.Builder
	b.WriteString(reportHead)
	for _, x := range tables {
		x.write(&b)
	}
	if *update {
		require.False(t, underRace, "the report is of the whole load")
		require.NoError(t, os.WriteFile(reportFile, []byte(b.String()), 0o600))
	}
	written, err := os.ReadFile(reportFile)
	require.NoError(t, err)
	known := rowsIn(string(written))
	if !underRace {
		assert.Len(t, known, len(rowsIn(b.String())), "rows")
	}
	for _, x := range tables {
		for _, r := range x.rows {
			x.compare(t, r, known[r.name()])
		}
	}
}

// compare asserts that a row is what is written of it.
func (x table) compare(t *testing.T, r row, written []float64) {
	t.Helper()
	if !assert.Len(t, written, len(r.numbers), "%s: not in the report", r.name()) {
		return
	}
	for i, c := range x.columns {
		most := (c.share*math.Max(written[i], r.numbers[i]) + c.by) * cmp.Or(r.leeway, 1)
		assert.InDelta(t, written[i], r.numbers[i], most, "%s: %s: %s", x.title, r.name(), c.name)
	}
}

// rowsIn returns the numbers of a report's rows by their labels.
func rowsIn(report string) map[string][]float64 {
	rows := make(map[string][]float64)
	for line := range strings.Lines(report) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		r := row{}
		for cell := range strings.SplitSeq(strings.Trim(line, "| "), " | ") {
			n, err := strconv.ParseFloat(cell, 64)
			if err != nil || len(r.labels) == 0 {
				r.labels = append(r.labels, cell)
				continue
			}
			r.numbers = append(r.numbers, n)
		}
		if len(r.numbers) > 0 {
			rows[r.name()] = r.numbers
		}
	}
	return rows
}

func balancingTable(t *testing.T) table {
	t.Helper()
	x := table{
		title:  "Choosing",
		labels: []string{"scenario", "policy"},
		columns: []column{
			{"p50 ms", 0.1, 1}, {"p90 ms", 0.15, 2}, {"p99 ms", 0.25, 5}, {"mean ms", 0.15, 2}, {"failed %", 0.25, 0.3},
		},
	}
	for _, s := range playedScenarios() {
		for _, p := range playedPolicies() {
			got := s.measure(t, p.name, firstSeed)
			x.rows = append(x.rows, row{
				[]string{s.name, p.name},
				[]float64{ms(got.P50), ms(got.P90), ms(got.P99), ms(got.Mean), 100 * got.Failed},
				leeway(p.name),
			})
		}
	}
	return x
}

// leeway is 4 for balancers whose luck lasts: where eight round robins begin decides whether
// they march in step, for the whole of a trial.
func leeway(policy string) float64 {
	if policy == leastLatency {
		return 1
	}
	return 4
}

func brownoutTable(t *testing.T) table {
	t.Helper()
	x := table{
		title:  "A brownout of ten seconds, in which half of all attempts fail",
		labels: []string{"who"},
		columns: []column{
			{"ok % during", 0, 2}, {"ok % after a second", 0, 0.5}, {"attempts for a request", 0, 0.02},
			{"p99 ms before", 0.15, 2}, {"p99 ms during", 0.5, 5}, {"p99 ms after", 0.15, 2},
		},
	}
	for _, b := range playedBrownouts() {
		got := b.measure(t)
		x.rows = append(x.rows, row{
			[]string{b.name},
			[]float64{100 * got.okDuring, 100 * got.okAfter, got.amplified, ms(got.base), ms(got.during), ms(got.after)}, 0,
		})
	}
	return x
}

func pageTable(t *testing.T) table {
	t.Helper()
	x := table{
		title:  "Pages of ten requests, of backends that pause",
		labels: []string{"backends", "hedge"},
		columns: []column{
			{"p50 ms", 0.05, 1}, {"p90 ms", 0.1, 2}, {"p99 ms", 0.2, 3}, {"mean ms", 0.05, 1}, {"requests for a leg", 0, 0.01},
		},
	}
	for _, p := range playedPages() {
		for _, after := range []float64{0, 0.95} {
			got := p.measure(t, after)
			x.rows = append(x.rows, row{
				[]string{p.name, map[bool]string{true: "none", false: "after 0.95"}[after == 0]},
				[]float64{ms(got.P50), ms(got.P90), ms(got.P99), ms(got.Mean), got.asked}, 0,
			})
		}
	}
	return x
}
