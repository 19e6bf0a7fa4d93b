package auth

import "github.com/gatewright/gateway/internal/exchange"

// Secret is a string that is not shown: package fmt, slog and encoders of a configuration
// print "redacted" in its place, wherever it stands. A constant is one as it is, anything
// else by conversion:
//
//	ClientSecret: auth.Secret(os.Getenv("ORDERS_CLIENT_SECRET"))
type Secret = exchange.Secret
