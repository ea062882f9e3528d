// Copyright The scopeauth Authors
// SPDX-License-Identifier: Apache-2.0

package cognitotest

import (
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strings"
	"testing"
)

// consoleHeaders are on every answer of the console and of the control paths.
var consoleHeaders = map[string]string{
	"Cache-Control":                "no-store",
	"Content-Security-Policy":      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Referrer-Policy":              "no-referrer",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Access-Control-Allow-Origin":  "",
	"Set-Cookie":                   "",
}

func checkConsoleHeaders(t *testing.T, h http.Header) {
	t.Helper()
	for name, want := range consoleHeaders {
		if got := h.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestConsoleIsServed(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithConsole())
	for way, rt := range transports(t, s) {
		for at, want := range map[string]struct{ kind, text string }{
			"/":                               {"text/html; charset=utf-8", "<title>Embedded Cognito</title>"},
			"/_emulator/console/base.css":     {"text/css; charset=utf-8", "prefers-color-scheme: dark"},
			"/_emulator/console/main.js":      {"text/javascript; charset=utf-8", "import"},
			"/_emulator/console/icon.svg":     {"image/svg+xml", "<svg"},
			"/?pool=" + testPoolID:            {"text/html; charset=utf-8", "<title>"},
			"/_emulator/console/index.html":   {"text/html; charset=utf-8", "<title>"},
			"/_emulator/console/controls.css": {"text/css; charset=utf-8", "button"},
		} {
			resp, body := exchange(t, rt, http.MethodGet, s.URL()+at, "", nil)
			if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != want.kind || !strings.Contains(body, want.text) {
				t.Errorf("%s, GET %s: got status %d, type %q, want 200, %q and %q in it", way, at, resp.StatusCode, resp.Header.Get("Content-Type"), want.kind, want.text)
			}
			checkConsoleHeaders(t, resp.Header)
			head, body := exchange(t, rt, http.MethodHead, s.URL()+at, "", nil)
			if head.StatusCode != http.StatusOK || body != "" || head.Header.Get("Content-Length") != resp.Header.Get("Content-Length") {
				t.Errorf("%s, HEAD %s: got status %d, %d bytes, want 200 and the length of GET", way, at, head.StatusCode, len(body))
			}
		}
		for _, at := range []string{"none.js", "", "../console.go", "%2e%2e/console.go", "console", "main.go"} {
			resp, body := exchange(t, rt, http.MethodGet, s.URL()+assetPath+at, "", nil)
			if resp.StatusCode != http.StatusNotFound || strings.Contains(body, "package") {
				t.Errorf("%s, asset %q: got status %d, want 404", way, at, resp.StatusCode)
			}
		}
		resp, _ := exchange(t, rt, http.MethodPost, s.URL()+assetPath+"main.js", "", nil)
		if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != http.MethodGet {
			t.Errorf("%s, POST to an asset: got status %d, Allow %q, want 405 and GET", way, resp.StatusCode, resp.Header.Get("Allow"))
		}
	}
}

func TestWithoutConsoleThereIsNone(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener())
	for _, at := range []string{"/", "/_emulator/console/main.js", "/_emulator/faults", "/_emulator/token-requests", "/_emulator/pools/" + testPoolID} {
		if resp, _ := exchange(t, s.Transport(), http.MethodGet, s.URL()+at, "", nil); resp.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: got status %d, want 404", at, resp.StatusCode)
		}
	}
	for _, at := range []string{"/_emulator/faults", "/_emulator/faults/clear", "/_emulator/pools/" + testPoolID + "/keys/rotate"} {
		if resp, _ := exchange(t, s.Transport(), http.MethodPost, s.URL()+at, "{}", jsonHeader()); resp.StatusCode == http.StatusOK {
			t.Errorf("POST %s: got status 200, want a refusal", at)
		}
	}
}

func TestConsoleStaysOnLoopback(t *testing.T) {
	t.Parallel()
	s, err := NewServer(WithConsole(), WithAddr("0.0.0.0:0"))
	if err == nil {
		s.Close()
		t.Error("a console on all addresses over plain HTTP: got no error")
	}
}

func TestCognitosOwnHostsHaveNoConsole(t *testing.T) {
	t.Parallel()
	s := newServer(t, WithPool(testPool()), WithoutListener(), WithConsole())
	for _, host := range []string{
		"cognito-idp.eu-central-1.amazonaws.com", "issuer-cognito-idp.eu-central-1.amazonaws.com", "my-prefix.auth.eu-central-1.amazoncognito.com",
	} {
		for _, at := range []string{"/", "/_emulator/token-requests", "/_emulator/console/main.js"} {
			if resp, body := exchange(t, s.Transport(), http.MethodGet, "https://"+host+at, "", nil); resp.StatusCode == http.StatusOK {
				t.Errorf("%s%s: got status 200, body %q, want a refusal", host, at, body)
			}
		}
	}
	// By these names there is the management API only.
	s = newServer(t, WithPool(testPool()), WithConsole())
	for _, host := range []string{"cognito-idp-fips.eu-central-1.amazonaws.com", "cognito-idp.eu-central-1.api.aws", "COGNITO-IDP.eu-central-1.api.aws:443"} {
		for _, at := range []string{"/", "/_emulator/token-requests", "/_emulator/console/main.js"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+at, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = host
			resp, err := transports(t, s)["network"].RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				t.Errorf("%s%s: got status 200, want a refusal", host, at)
			}
		}
	}
}

// forbiddenInAssets would let data become markup or code, or need more than the policy allows.
var forbiddenInAssets = map[string]*regexp.Regexp{
	"markup from data":     regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|setHTML|srcdoc`),
	"code from data":       regexp.MustCompile(`\beval\b|new Function|javascript:|set(Timeout|Interval)\(['"]`),
	"inline handler":       regexp.MustCompile(`<[^>]*\son[a-z]+\s*=`),
	"inline style":         regexp.MustCompile(`<style|\sstyle=|['"]style['"]|\.style\b|cssText`),
	"inline script":        regexp.MustCompile(`<script(?:\s[^>]*)?>[^<]`),
	"address elsewhere":    regexp.MustCompile(`(?i)(?:https?:)?//[a-z0-9-]+\.[a-z]`),
	"storage of secrets":   regexp.MustCompile(`localStorage|sessionStorage|document\.cookie|indexedDB`),
	"property by user key": regexp.MustCompile(`__proto__`),
}

func TestAssetsKeepToThePolicy(t *testing.T) {
	t.Parallel()
	harmless := strings.NewReplacer("http://www.w3.org/2000/svg", "") // the name of SVG
	n := 0
	err := fs.WalkDir(consoleFiles, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		data, err := consoleFiles.ReadFile(name)
		if err != nil {
			return err
		}
		text := harmless.Replace(string(data))
		for what, pattern := range forbiddenInAssets {
			if found := pattern.FindString(text); found != "" {
				t.Errorf("%s: %s: %q", name, what, found)
			}
		}
		if lines := strings.Count(text, "\n"); lines > 400 {
			t.Errorf("%s: %d lines, want 400 at most", name, lines)
		}
		if assetTypes[path.Ext(name)] == "" {
			t.Errorf("%s: the server has no media type for it", name)
		}
		if !strings.Contains(text, "Copyright The scopeauth Authors") && path.Ext(name) != ".svg" {
			t.Errorf("%s: no copyright line", name)
		}
		return nil
	})
	if err != nil || n < 10 {
		t.Errorf("got %d files, error %v, want the console's", n, err)
	}
}

// TestAssetsFindEachOther checks that what the page and its scripts load is there.
func TestAssetsFindEachOther(t *testing.T) {
	t.Parallel()
	page, err := consoleFiles.ReadFile("console/index.html")
	if err != nil {
		t.Fatal(err)
	}
	loads := regexp.MustCompile(`(?:href|src)="(/[^"]*)"`).FindAllStringSubmatch(string(page), -1)
	if len(loads) < 4 {
		t.Errorf("the page loads %d files, want its scripts and styles", len(loads))
	}
	for _, m := range loads {
		if _, err := consoleFiles.ReadFile("console/" + strings.TrimPrefix(m[1], assetPath)); err != nil {
			t.Errorf("index.html: %v", err)
		}
	}
	scripts, err := fs.Glob(consoleFiles, "console/*.js")
	if err != nil {
		t.Fatal(err)
	}
	imports := regexp.MustCompile(`from '\./([^']+)'`)
	for _, name := range scripts {
		data, err := consoleFiles.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range imports.FindAllStringSubmatch(string(data), -1) {
			if _, err := consoleFiles.ReadFile("console/" + m[1]); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
