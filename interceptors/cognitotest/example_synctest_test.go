// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/scopeauth/scopeauth/interceptors/cognitotest"
)

// t stands for what a test function gets: an example has none.
var t = new(testing.T)

// In a testing/synctest bubble the clock jumps when everybody waits: an hour of
// latency costs nothing. The server is made inside the bubble, and reached in memory.
func Example_synctest() {
	made := keys() // takes long, and is the same for all tests
	synctest.Test(t, func(t *testing.T) {
		cognito, err := cognitotest.NewServer(cognitotest.WithoutListener(), cognitotest.WithKeys(made))
		if err != nil {
			t.Fatal(err)
		}
		defer cognito.Close()
		cognito.SetFault(cognitotest.TokenEndpoint, cognitotest.Fault{Latency: time.Hour})
		credentials := cognito.Pool("s2s-test").Client("sts-test-app-client")

		begin := time.Now()
		status, _ := fetch(&http.Client{Transport: cognito.Transport()}, cognito.TokenURL(), credentials, "demo/read.file")
		fmt.Println(status, time.Since(begin))
	})
	// Output: 200 1h0m0s
}
