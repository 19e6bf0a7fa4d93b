package main

import (
	"net"
	"net/url"

	"github.com/valyala/fasthttp"
)

// fasthttpProxy is fasthttp's client behind its server. It shows what there is to
// gain without net/http, for those who can do without HTTP/2, streams and contexts.
func fasthttpProxy(s setup) (func(net.Listener) error, error) {
	target, err := url.Parse(s.Backends[0])
	if err != nil {
		return nil, err
	}
	client := &fasthttp.HostClient{Addr: target.Host, MaxConns: 1024, NoDefaultUserAgentHeader: true}
	server := &fasthttp.Server{NoDefaultServerHeader: true, Handler: func(ctx *fasthttp.RequestCtx) {
		req, res := &ctx.Request, &ctx.Response
		req.Header.Del(fasthttp.HeaderConnection)
		req.Header.Set(fasthttp.HeaderXForwardedFor, ctx.RemoteIP().String())
		if err := client.Do(req, res); err != nil {
			ctx.Error("", fasthttp.StatusBadGateway)
			return
		}
		res.Header.Del(fasthttp.HeaderConnection)
	}}
	return server.Serve, nil
}
