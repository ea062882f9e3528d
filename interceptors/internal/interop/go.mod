module github.com/scopeauth/scopeauth/interceptors/internal/interop

go 1.26.0

replace github.com/scopeauth/scopeauth => ../../..
