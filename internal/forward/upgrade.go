package forward

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gatewright/gateway/internal/exchange"
)

// upgrade joins the client's connection to the upstream's after a 101. It returns
// when both directions have ended; the error says why the upgrade was not made.
func upgrade(x *exchange.Exchange, out *http.Request, res *http.Response) error {
	// Whatever happens, a connection that was switched is of no use to anybody else.
	defer res.Body.Close()
	asked := upgradeToken(out.Header)
	if got := upgradeToken(res.Header); asked == "" || !strings.EqualFold(asked, got) {
		return fmt.Errorf("upstream switched to %q, asked for %q", res.Header.Get("Upgrade"), asked)
	}
	upstream, ok := res.Body.(io.ReadWriteCloser)
	if !ok {
		return errors.New("transport cannot write to an upgraded connection")
	}
	client, rw, err := http.NewResponseController(x.Unwrap()).Hijack()
	if err != nil {
		return fmt.Errorf("hijack: %w", err)
	}
	defer client.Close()
	// The server's limits were for the request, and the request is over.
	_ = client.SetDeadline(time.Time{})

	defer context.AfterFunc(out.Context(), func() {
		client.Close()
		res.Body.Close()
	})()
	if err := writeSwitch(rw.Writer, x, res); err != nil {
		return nil // the client is gone, and there is nobody left to tell
	}
	join(client, buffered(rw.Reader), upstream)
	return nil
}

func writeSwitch(w *bufio.Writer, x *exchange.Exchange, res *http.Response) error {
	h := x.Header()
	copyHeader(h, res.Header)
	x.Upgraded()
	h["Connection"], h["Upgrade"] = []string{"Upgrade"}, res.Header["Upgrade"]
	fmt.Fprintf(w, "HTTP/1.1 101 %s\r\n", http.StatusText(http.StatusSwitchingProtocols))
	_ = h.Write(w)
	_, _ = w.WriteString("\r\n")
	return w.Flush()
}

// halfClosed is how long one direction may go on once the other has ended.
const halfClosed = time.Minute

// join copies both ways. The end of one direction is passed on as the end of that
// direction only, where the connection can be half closed; an error ends both.
func join(client net.Conn, early io.Reader, upstream io.ReadWriteCloser) {
	// A peer that neither closes nor sends must not keep the other's end for ever
	// (golang/go#75807).
	limit := time.AfterFunc(math.MaxInt64, func() {
		client.Close()
		upstream.Close()
	})
	defer limit.Stop()
	pass := func(dst io.WriteCloser, src io.Reader) {
		_, err := io.Copy(dst, src)
		half, ok := dst.(interface{ CloseWrite() error })
		if err != nil || !ok || half.CloseWrite() != nil {
			client.Close()
			upstream.Close()
		}
		limit.Reset(halfClosed)
	}
	var wg sync.WaitGroup
	wg.Go(func() { pass(upstream, io.MultiReader(early, client)) })
	wg.Go(func() { pass(client, upstream) })
	wg.Wait()
}

// buffered returns what the client sent before it saw the 101 (golang/go#80875). The
// rest must be read from the connection itself: the server's reader cancels the
// request's context when the client closes its half.
func buffered(r *bufio.Reader) io.Reader {
	early, _ := r.Peek(r.Buffered()) // cannot fail for what is there
	return bytes.NewReader(early)
}
