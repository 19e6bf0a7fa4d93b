package auth

import "github.com/gatewright/gateway/internal/exchange"

// Secret is a string that is not shown: package fmt, slog and encoders of a configuration
// print "redacted" in its place, by whatever verb. They cannot where they do not ask: fmt
// prints the unexported fields of a struct as they are, unless the struct itself says how
// it is printed, and encoding/json writes the keys of a map as they are. A constant is one as it is, anything else by conversion:
//
//	ClientSecret: auth.Secret(os.Getenv("ORDERS_CLIENT_SECRET"))
type Secret = exchange.Secret
