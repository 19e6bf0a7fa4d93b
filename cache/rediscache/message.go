package rediscache

import "strings"

// nameSize is how long a name is: 32 bytes in base64.
const nameSize = 43

// message says that sender has changed name.
func message(sender, name string) string { return sender + " " + name }

// parseMessage takes apart what came over the channel, to which anybody may have written.
func parseMessage(text string) (sender, name string, ok bool) {
	sender, name, ok = strings.Cut(text, " ")
	if !ok || sender == "" || len(name) != nameSize {
		return "", "", false
	}
	return sender, name, true
}
