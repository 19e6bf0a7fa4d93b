package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	issuer   = "https://id.shop.test"
	audience = "app"
	keyBits  = 2048

	// usersPerConn is how many users share a connection in turn, as they do behind a
	// load balancer. With few of them, all that is remembered of one would always be
	// in the processor's cache.
	usersPerConn = 16
)

// issue returns as many tokens, each of another user, and the key to verify them by.
func issue(n int) (key []byte, tokens []string, err error) {
	private, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, nil, err
	}
	key, err = x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	for i := range n {
		token, err := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.RegisteredClaims{
			Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: "user-" + strconv.Itoa(i),
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(24 * time.Hour)),
		}).SignedString(private)
		if err != nil {
			return nil, nil, err
		}
		tokens = append(tokens, token)
	}
	return key, tokens, nil
}

func parseKey(der []byte) (*rsa.PublicKey, error) {
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("not an RSA key")
	}
	return public, nil
}
