package balancer

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

const maxHealthBody = 64 << 10 // bytes

// askHTTP passes an endpoint that answers with 2xx.
func (k *checker) askHTTP(ctx context.Context, e *Endpoint) error {
	res, err := k.exchange(k.request(ctx, e, http.MethodGet, http.Header{}))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, maxHealthBody) // so that the connection can be used again
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return nil
}
