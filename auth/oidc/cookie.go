package oidc

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	maxPieces  = 8    // of a session: more would not fit into what servers take as a header
	pieceSize  = 3800 // bytes of a value: browsers take 4,096 of name and value (RFC 6265 section 6.1)
	maxCookie  = 64   // bytes of Config.Cookie
	loginName  = 8    // characters that tell one login cookie from another
	maxPending = 5    // logins of one browser at the same time: one a tab
)

// jar knows the cookies of a Login, which all have the prefix that keeps other hosts,
// subdomains among them, from setting them (RFC 6265bis section 4.1.3.2). A session lies
// in the pieces NAME-0, NAME-1 and so on, a login that was begun in NAME-login-STATE.
type jar struct {
	name   string // with the prefix
	seals  *sealer
	logins *sealer
}

func newJar(name string, keys [][]byte) *jar {
	return &jar{name: "__Host-" + name, seals: newSealer("session cookie", keys), logins: newSealer("login cookie", keys)}
}

// crumbs are our cookies of one request.
type crumbs struct {
	pieces [maxPieces]string
	has    [maxPieces]bool
	twice  bool              // one came more than once: who can say which of them we set
	logins map[string]string // by the end of the name; nil: none
}

// any reports whether there is something of a session.
func (c *crumbs) any() bool { return c.has != [maxPieces]bool{} }

// take removes our cookies from the request, in place, and returns them. All others stay
// byte for byte.
func (j *jar) take(h http.Header) *crumbs {
	c := &crumbs{}
	lines := h["Cookie"]
	if !j.mentioned(lines) {
		return c
	}
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		if rest, ok := j.strip(line, c); ok {
			kept = append(kept, rest)
		}
	}
	h["Cookie"] = kept
	if len(kept) == 0 {
		delete(h, "Cookie")
	}
	return c
}

func (j *jar) mentioned(lines []string) bool {
	for _, line := range lines {
		if strings.Contains(line, j.name) {
			return true
		}
	}
	return false
}

// strip puts our cookies of line into c, and returns the others, false if there are none.
func (j *jar) strip(line string, c *crumbs) (string, bool) {
	var kept []string
	removed := false
	for pair := range strings.SplitSeq(line, ";") {
		name, value, _ := strings.Cut(pair, "=")
		if j.keep(strings.Trim(name, " \t"), strings.Trim(value, " \t"), c) {
			removed = true
			continue
		}
		kept = append(kept, pair)
	}
	if !removed {
		return line, true
	}
	rest := strings.TrimLeft(strings.Join(kept, ";"), " \t")
	return rest, rest != ""
}

// keep puts a cookie into c if it is ours.
func (j *jar) keep(name, value string, c *crumbs) bool {
	end, ours := strings.CutPrefix(name, j.name+"-")
	if !ours {
		return false
	}
	if state, ok := strings.CutPrefix(end, "login-"); ok && len(state) == loginName {
		if c.logins == nil {
			c.logins = make(map[string]string)
		}
		c.logins[state] = value
		return true
	}
	if len(end) != 1 || end[0] < '0' || end[0] >= '0'+maxPieces {
		return false
	}
	i := end[0] - '0'
	c.twice = c.twice || c.has[i]
	c.pieces[i], c.has[i] = value, true
	return true
}

// open returns what the session's cookie holds, or false if it holds nothing of ours.
func (j *jar) open(c *crumbs) ([]byte, bool) {
	if c.twice || c.pieces[0] == "" {
		return nil, false
	}
	n := int(c.pieces[0][0] - '0')
	if n < 1 || n > maxPieces || slices.Contains(c.pieces[:n], "") {
		return nil, false
	}
	text := strings.Join(c.pieces[:n], "")[1:]
	if len(text) > maxPieces*pieceSize {
		return nil, false
	}
	return unseal(j.seals, text, j.name)
}

func unseal(s *sealer, text, place string) ([]byte, bool) {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") { // which the decoder skips
		return nil, false
	}
	return s.open(sealed, place)
}

// seal returns the pieces of a cookie that holds plain.
func (j *jar) seal(plain []byte) ([]string, error) {
	text := base64.RawURLEncoding.EncodeToString(j.seals.seal(plain, j.name))
	n := (1 + len(text) + pieceSize - 1) / pieceSize
	if n > maxPieces {
		return nil, fmt.Errorf("a session of %d bytes does not fit into %d cookies, keep it in a Store", len(text), maxPieces)
	}
	text = string(rune('0'+n)) + text
	pieces := make([]string, 0, n)
	for len(text) > pieceSize {
		pieces = append(pieces, text[:pieceSize])
		text = text[pieceSize:]
	}
	return append(pieces, text), nil
}

// set has the browser keep the pieces, and forget those of a longer session that c has.
// No pieces: it forgets all.
func (j *jar) set(h http.Header, pieces []string, c *crumbs, age time.Duration) {
	for i, piece := range pieces {
		addCookie(h, j.piece(i), piece, age)
	}
	for i := len(pieces); i < maxPieces; i++ {
		if c.has[i] {
			addCookie(h, j.piece(i), "", -1)
		}
	}
}

func (j *jar) piece(i int) string { return j.name + "-" + string(rune('0'+i)) }

// addCookie sets a cookie, or deletes it if age is negative. The answer must not be kept
// by any cache then, which would hand it to others (RFC 9111 section 7.3).
func addCookie(h http.Header, name, value string, age time.Duration) {
	seconds := int(age / time.Second)
	if age <= 0 {
		seconds = -1
	}
	c := http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: seconds,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, // Lax: the way back from the provider is cross-site
	}
	h.Add("Set-Cookie", c.String())
	h.Set("Cache-Control", "no-store")
}
