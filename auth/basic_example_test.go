package auth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/gatewright/gateway/auth"
)

func ExampleBasic() {
	h := auth.Require(auth.Basic{
		Realm: "shop",
		Users: map[string]string{ // by HashPassword, or by htpasswd -B
			"ann": "$2a$04$4711.JhBOL2ZXDDHgayjN.Wd3FTkpFWPqaLCNCppnQ2.sIyaJoqSW",
		},
	})(whoami)

	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.SetBasicAuth("ann", "guess")
	show(h, r)
	r.SetBasicAuth("ann", "pässword")
	show(h, r)
	// Output:
	// 401 Basic realm="shop", charset="UTF-8"
	// 200 ann may write: false
}

func ExampleHashPassword() {
	hash, err := auth.HashPassword("pässword")
	fmt.Println(hash[:31], len(hash), err)
	// Output: $argon2id$v=19$m=65536,t=3,p=4$ 97 <nil>
}
