package auth

import (
	"errors"
	"net/http"
)

func checkBinding(_ *http.Request, c claims) error {
	if _, ok := c["cnf"]; ok {
		return errors.New("bound")
	}
	return nil
}
