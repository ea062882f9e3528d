// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package jwks

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got *http.Request
		src, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
			got = r
			w.Header().Set("Content-Type", "text/html") // means nothing
			fmt.Fprint(w, document(key("a", 1)))
		})
		a, err := src.fetch(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		if len(a.set.Keys) != 1 || a.set.Keys[0].ID() != "a" || a.interval != refreshInterval {
			t.Errorf("got %v, %v, want key a and the default interval", a.set.Keys, a.interval)
		}
		if got.Method != http.MethodGet || got.Header.Get("Accept-Encoding") != "identity" {
			t.Errorf("got %s with Accept-Encoding %q", got.Method, got.Header.Get("Accept-Encoding"))
		}
	})
}

func TestD1Refused(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "https://" + l.Addr().String()
	l.Close()
	src, err := newSource(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := src.fetch(t.Context(), false); err == nil || errors.Is(err, errRejected) {
		t.Errorf("got %v, want a network error", err)
	}
}

func TestD1BadCertificate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, srv := server(t, func(w http.ResponseWriter, _ *http.Request) {
			t.Error("the request was sent")
			fmt.Fprint(w, document(key("a", 1)))
		})
		for name, lender := range map[string]*http.Client{"own client": nil, "lent client without transport": {}} {
			_, err := srv.source(t, serverURL, lender).fetch(t.Context(), false)
			if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
				t.Errorf("%s: got %v, want an unknown authority", name, err)
			}
		}
		other := srv.trusting(t, "https://localhost")
		if _, err := other.fetch(t.Context(), false); err == nil {
			t.Error("a certificate for another name is accepted")
		}
	})
}

func TestTLSVersion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := newMemoryServer(http.NotFound)
		srv.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
		srv.start(t)
		if _, err := srv.trusting(t, serverURL).fetch(t.Context(), false); err == nil || errors.Is(err, errStatus) {
			t.Errorf("got %v, want no connection with TLS 1.1", err)
		}
		if got := newTransport().TLSClientConfig.MinVersion; got != tls.VersionTLS12 {
			t.Errorf("got least version %x, want TLS 1.2 whatever the default is", got)
		}
	})
}

// TestNoConnectionIsKept: each fetch has its own, also where HTTP/2 is spoken.
func TestNoConnectionIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, major := range []int{1, 2} {
			var connections atomic.Int64
			srv := newMemoryServer(func(w http.ResponseWriter, r *http.Request) {
				if r.ProtoMajor != major {
					t.Errorf("got %s, want HTTP/%d", r.Proto, major)
				}
				fmt.Fprint(w, document(key("a", 1)))
			})
			srv.EnableHTTP2 = major == 2
			srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					connections.Add(1)
				}
			}
			srv.start(t)
			src := srv.trusting(t, serverURL)
			for n := int64(1); n <= 2; n++ {
				if _, err := src.fetch(t.Context(), false); err != nil {
					t.Fatal(err)
				}
				if got := connections.Load(); got != n {
					t.Errorf("HTTP/%d: got %d connections for %d fetches", major, got, n)
				}
			}
		}
	})
}

// TestContentEncoding: identity is none at all, and whatever else is refused.
func TestContentEncoding(t *testing.T) {
	t.Parallel()
	for encoding, want := range map[string]error{"": nil, "identity": nil, "gzip": errRejected, "br": errRejected, "identity, gzip": errRejected} {
		src, err := newSource(testURL, &http.Client{Transport: serve(document(key("a", 1)), "Content-Encoding: "+encoding)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := src.fetch(t.Context(), false); !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", encoding, err, want)
		}
	}
}

func TestD4GzipBomb(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var bomb bytes.Buffer
		zip := gzip.NewWriter(&bomb)
		zip.Write(bytes.Repeat([]byte(" "), 50<<20))
		zip.Close()
		src, srv := server(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(bomb.Bytes())
		})
		lent := srv.source(t, serverURL, srv.Client()) // its transport would inflate on its own
		for name, src := range map[string]*source{"own": src, "lent": lent} {
			if _, err := src.fetch(t.Context(), false); !errors.Is(err, errRejected) || !strings.Contains(err.Error(), "compressed") {
				t.Errorf("%s: got %v, want it rejected as compressed", name, err)
			}
		}
	})
}

func TestD5Redirect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const target = "https://evil.example.com/elsewhere" // which the server is too, and has a certificate for
		var followed atomic.Int64
		for _, code := range []int{300, 301, 302, 303, 304, 307, 308} {
			_, srv := server(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/" {
					followed.Add(1)
					fmt.Fprint(w, document(key("evil", 1)))
					return
				}
				w.Header().Set("Location", target)
				w.WriteHeader(code)
			})
			src := srv.source(t, serverURL+"/", srv.Client()) // which follows by default
			if _, err := src.fetch(t.Context(), false); !errors.Is(err, errRedirect) || strings.Contains(err.Error(), target) {
				t.Errorf("%d: got %v, want a redirect that is not followed", code, err)
			}
		}
		if n := followed.Load(); n != 0 {
			t.Errorf("got %d requests after redirects, want none", n)
		}
	})
}

func TestStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, code := range []int{201, 204, 206, 400, 401, 403, 404, 429, 500, 503} {
			src, _ := server(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(code)
				if code != http.StatusNoContent {
					fmt.Fprint(w, document(key("a", 1)))
				}
			})
			if _, err := src.fetch(t.Context(), false); !errors.Is(err, errStatus) || !strings.Contains(err.Error(), strconv.Itoa(code)) {
				t.Errorf("%d: got %v, want the status", code, err)
			}
		}
	})
}

func TestLargeHeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src, _ := server(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 2*maxHeaderBytes))
			fmt.Fprint(w, document(key("a", 1)))
		})
		if _, err := src.fetch(t.Context(), false); err == nil || errors.Is(err, errRejected) {
			t.Errorf("got %v, want the header refused", err)
		}
	})
}

// TestD3Dripping: the limit of three seconds holds for the whole answer, with the
// package's own transport on an in-memory connection.
func TestD3Dripping(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]string{
		"no answer":       "",
		"dripping header": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 100),
		"dripping body":   "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat(" ", 100),
	} {
		synctest.Test(t, func(t *testing.T) {
			src, err := newSource("http://127.0.0.1/", nil)
			if err != nil {
				t.Fatal(err)
			}
			src.client.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go drip(theirs, reply)
				return ours, nil
			}
			before := time.Now()
			_, err = src.fetch(t.Context(), false)
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errRejected) {
				t.Errorf("%s: got %v, want the deadline", name, err)
			}
			if d := time.Since(before); d != fetchTimeout {
				t.Errorf("%s: took %v, want %v", name, d, fetchTimeout)
			}
		})
	}
}

// drip awaits the request and sends a byte each 100 ms, until the other end closes.
func drip(conn net.Conn, reply string) {
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1024)); err != nil {
		return
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for buf := make([]byte, 1024); ; {
			if _, err := conn.Read(buf); err != nil {
				return
			}
		}
	}()
	for i := range len(reply) {
		if _, err := conn.Write([]byte(reply[i : i+1])); err != nil {
			break
		}
		if i > 20 {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-gone:
			}
		}
	}
	<-gone
}

func TestURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"https://issuer.test/jwks.json":   "",
		"HTTPS://issuer.test:8443/x?y=z":  "",
		"http://127.0.0.1:9229/x":         "",
		"http://127.8.9.1/x":              "",
		"http://[::1]:80/x":               "",
		"http://localhost:9229/x":         "",
		"http://issuer.test/jwks.json":    "https wanted",
		"http://127.0.0.1.evil.test/x":    "https wanted",
		"http://localhost.evil.test/x":    "https wanted",
		"http://10.0.0.1/x":               "https wanted",
		"http://169.254.169.254/x":        "https wanted",
		"http://0.0.0.0/x":                "https wanted",
		"http://2130706433/x":             "https wanted",
		"ftp://issuer.test/x":             "https wanted",
		"file:///etc/passwd":              "a host",
		"//issuer.test/x":                 "https wanted",
		"issuer.test/x":                   "a host",
		"":                                "a host",
		"https://":                        "a host",
		"https://:443/x":                  "a host",
		"https://issuer.test/x#y":         "no fragment",
		"https://u:s3cret@issuer.test/":   "user information",
		"http://127.0.0.1@issuer.test/":   "user information",
		"https://u:s3cret@issuer.test:x/": "cannot be parsed",
		"https://issuer.test/s3cret\x7f":  "cannot be parsed",
		"https:issuer.test":               "a host",
	} {
		err := tryNew(t, Config{URL: url, Client: &http.Client{Transport: serve(document(key("a", 1)))}})
		if want == "" {
			if err != nil {
				t.Errorf("%q: got %v, want no error", url, err)
			}
			continue
		}
		if !errors.Is(err, errURL) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", url, err, want)
		}
		if strings.Contains(fmt.Sprint(err), "s3cret") {
			t.Errorf("%q: the error shows the password", url)
		}
	}
}

// tryNew makes a Set, without waiting long for keys, and closes it.
func tryNew(t *testing.T, cfg Config) (err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var s *Set
		s, err = New(ctx, cfg)
		if (s == nil) != (err != nil) {
			t.Errorf("got %v, %v, want either", s, err)
		}
		if s != nil {
			s.Close()
		}
	})
	return err
}
