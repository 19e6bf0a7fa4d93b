package compose

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Explain returns the plan as text, for a log or a terminal: which parts run at once, which
// wait for which others and for what of them, what each asks for, and what becomes of it.
// Values of header fields, bodies and defaults that are long are not in it, nor are the
// backends' addresses, which an Aggregator does not know. The text is the same for the same
// parts, but is for people: it may change from version to version.
func (a *Aggregator) Explain() string {
	var b strings.Builder
	for n, wave := range a.plan.waves() {
		if n == 0 {
			b.WriteString("at once:\n")
		} else {
			b.WriteString("then, each as soon as what it waits for is there:\n")
		}
		for _, i := range wave {
			s := &a.plan.steps[i]
			fmt.Fprintf(&b, "  %s: %s\n", printable(s.name), s.asks())
			for _, fact := range s.facts(a.plan) {
				b.WriteString("    " + fact + "\n")
			}
		}
	}
	b.WriteString("answer: " + strings.Join(a.config.facts(), ", ") + "\n")
	return b.String()
}

// waves returns the parts by how many others have to end before them, one after another,
// in the order of declaration.
func (p *plan) waves() [][]int {
	depth := make([]int, len(p.steps))
	for range p.steps { // at most so deep, as nothing waits for itself
		for i := range p.steps {
			for _, j := range p.steps[i].after {
				depth[i] = max(depth[i], depth[j]+1)
			}
		}
	}
	waves := make([][]int, slices.Max(depth)+1)
	for i, d := range depth {
		waves[d] = append(waves[d], i)
	}
	return waves
}

func (s *step) asks() string { return s.method + " " + printable(s.target) }

// facts are what there is to say of s, one a line.
func (s *step) facts(p *plan) []string {
	facts := []string{s.onFailure()}
	add := func(when bool, format string, args ...any) {
		if when {
			facts = append(facts, fmt.Sprintf(format, args...))
		}
	}
	for _, j := range s.after {
		add(true, "waits for %s because of %s", printable(p.steps[j].name), strings.Join(s.because(j), ", "))
	}
	add(s.many, "%s", s.calls())
	add(s.timeout > 0, "timeout %v", s.timeout)
	add(s.absent, "skipped if a value is missing")
	add(s.Part.body != "", "sends a body")
	add(len(s.headers) > 0, "sends %s", strings.Join(s.fieldNames(), ", "))
	add(s.decode != nil, "its answer is decoded")
	add(len(s.shape) > 0, "changes made to its answer: %d", len(s.shape))
	if place := s.placement(p); place != "" {
		facts = append(facts, place)
	}
	return facts
}

// onFailure says what there is in the place of s if it fails.
func (s *step) onFailure() string {
	last := "required"
	switch {
	case s.fallback != nil && !s.many:
		last = "default " + short(string(s.fallback))
	case s.optional:
		last = "optional"
	}
	if s.staleFor > 0 {
		return fmt.Sprintf("stale up to %v, else %s", s.staleFor, last)
	}
	return last
}

// because returns the holes for which s waits for part j.
func (s *step) because(j int) []string {
	var names []string
	add := func(h *hole) {
		name := printable("{" + h.String() + "}")
		if h.source == fromPart && h.part == j && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if s.many {
		add(&s.array)
	}
	for _, t := range s.templates() {
		for i := range t.holes {
			add(&t.holes[i])
		}
	}
	return names
}

// calls says how often s is called.
func (s *step) calls() string {
	array := printable("{" + s.array.String() + "}")
	how := "a call for each element of " + array
	if s.batch > 0 {
		how = fmt.Sprintf("a call for up to %d elements of %s, told apart by %s", s.batch, array, printable(s.key))
	}
	switch {
	case s.fallback != nil:
		how += "; default of an element " + short(string(s.fallback))
	case s.optional:
		how += "; null for an element that fails"
	}
	return how
}

func (s *step) fieldNames() []string {
	var names []string
	for _, h := range s.headers {
		names = append(names, h.name)
	}
	return names
}

// placement says where the answer of s goes; empty: under its name.
func (s *step) placement(p *plan) string {
	switch {
	case s.hidden:
		return "hidden"
	case s.joined != "":
		return fmt.Sprintf("joined to the elements of %s as %s", printable(p.steps[s.array.part].name), printable(s.joined))
	case s.spread != "" && s.place == "":
		return "spread, on collision " + string(s.spread)
	case s.spread != "":
		return "spread at " + printable(s.place) + ", on collision " + string(s.spread)
	case s.place != "":
		return "at " + printable(s.place)
	}
	return ""
}

// facts are what there is to say of the whole.
func (c *Config) facts() []string {
	facts := []string{"an object"}
	if c.Array {
		facts[0] = "an array"
	}
	add := func(when bool, format string, args ...any) {
		if when {
			facts = append(facts, fmt.Sprintf(format, args...))
		}
	}
	add(c.Timeout > 0, "timeout %v", c.Timeout)
	add(c.PartialStatus != 0, "status %d if a part has failed", c.PartialStatus)
	add(c.Errors != "", "failures under %s", printable(c.Errors))
	add(len(c.Headers) > 0, "passes on %s", printable(strings.Join(c.Headers, ", ")))
	add(c.ServerTiming, "with Server-Timing")
	add(c.XML != "", "or XML under %s", c.XML)
	add(c.Progressive, "or progressive")
	return facts
}

// short is s, if that is not long.
func short(s string) string {
	if len(s) > 40 {
		return fmt.Sprintf("(%d bytes)", len(s))
	}
	return printable(s)
}

// printable is s, quoted if there is something in it that would not show or end the line.
func printable(s string) string {
	if strings.IndexFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) < 0 {
		return s
	}
	return strconv.Quote(s)
}

// Mermaid returns the plan as a picture: a flowchart in Mermaid's language, which GitHub
// shows for a code block named mermaid. An arrow from part to part says for what of the one
// the other waits; a dotted one is of a part without which there is an answer all the same.
// What it tells and does not tell is as with [Aggregator.Explain].
func (a *Aggregator) Mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	b.WriteString("  request([request])\n")
	for i := range a.plan.steps {
		s := &a.plan.steps[i]
		fmt.Fprintf(&b, "  p%d[\"%s<br/>%s\"]\n", i, escapeMermaid(printable(s.name)), escapeMermaid(s.asks()))
	}
	b.WriteString("  answer([answer])\n")
	for i := range a.plan.steps {
		s := &a.plan.steps[i]
		if len(s.after) == 0 {
			fmt.Fprintf(&b, "  request --> p%d\n", i)
		}
		for _, j := range s.after {
			arrow(&b, j, "-->", strings.Join(s.because(j), " "), "p"+strconv.Itoa(i))
		}
		if !s.hidden {
			arrow(&b, i, s.line(), s.placement(a.plan), "answer")
		}
	}
	return b.String()
}

// line is how the arrow from s to the answer is drawn.
func (s *step) line() string {
	if s.optional || s.absent || s.fallback != nil && !s.many {
		return "-.->"
	}
	return "-->"
}

func arrow(b *strings.Builder, from int, line, label, to string) {
	if label != "" {
		label = `|"` + escapeMermaid(label) + `"|`
	}
	fmt.Fprintf(b, "  p%d %s%s %s\n", from, line, label, to)
}

// escapeMermaid escapes what means something to Mermaid within a quoted label, to the HTML
// that a label is, or to the Markdown that it may be: %%{…}%% anywhere is an instruction to
// Mermaid, $$…$$ a formula, and of a line with "style", a colon and an escape behind it it
// takes the last semicolon away.
func escapeMermaid(s string) string {
	var b strings.Builder
	for _, c := range s {
		if strings.ContainsRune("\"#&<>%$`*\\:", c) {
			fmt.Fprintf(&b, "#%d;", c)
		} else {
			b.WriteRune(c)
		}
	}
	return b.String()
}
