package main

import (
	"fmt"
	"net"
	"strings"

	"github.com/valyala/fasthttp"
)

const (
	backendRole  = "backend"
	endpoints    = 3 // of the backend
	documentSize = 1 << 10
)

// document is what the backend answers: JSON with as many names, numbers and braces
// as real answers have, since who checks it pays for those.
var document = newDocument()

func newDocument() []byte {
	const end = `],"note":"`
	doc := `{"user":"u-42","orders":[`
	for i := 0; ; i++ {
		item := fmt.Sprintf(`{"id":%d,"state":"shipped","total":%d.95,"items":["tea","milk"]}`, 1000+i, i)
		if i > 0 {
			item = "," + item
		}
		if len(doc)+len(item)+len(end)+len(`"}`) > documentSize {
			break
		}
		doc += item
	}
	doc += end
	return []byte(doc + strings.Repeat(".", documentSize-len(doc)-len(`"}`)) + `"}`)
}

// backend is fasthttp's server, as it is the cheapest: what the backend uses of the
// machine is not there for what is measured, and evens the throughputs out.
func backend(setup) (func(net.Listener) error, error) {
	server := &fasthttp.Server{NoDefaultServerHeader: true, Handler: func(ctx *fasthttp.RequestCtx) {
		ctx.SetContentType("application/json")
		if string(ctx.Path()) == cachedPath {
			ctx.Response.Header.Set("Cache-Control", "max-age=3600")
		}
		ctx.Response.SetBodyRaw(document)
	}}
	return server.Serve, nil
}
