package balancer

// For the fuzz tests, and for what is remembered and cannot be seen from outside.
var (
	ParseTargets = parseTargets
	AnswerTTL    = answerTTL
)

func Known(p *Pool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.known)
}
