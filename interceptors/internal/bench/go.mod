module github.com/scopeauth/scopeauth/interceptors/internal/bench

go 1.26.0

require github.com/scopeauth/scopeauth v0.0.0

require (
	github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
	golang.org/x/oauth2 v0.37.0 // indirect
)

replace github.com/scopeauth/scopeauth => ../../..
