package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/ovloom/ovloom/api"
	"github.com/ovloom/ovloom/api/hosttest"
	"github.com/ovloom/ovloom/intent"
)

// FuzzRequest sends any method, path, query and body to a server whose backend
// works: whatever comes, the answer is JSON, and never a failure of the server's.
func FuzzRequest(f *testing.F) {
	const port = "/v1/tenants/acme/networks/web/ports/c1"
	f.Add("GET", "/v1/tenants", "", "")
	f.Add("POST", "/v1/tenants", "", `{"name":"acme"}`)
	f.Add("POST", "/v1/tenants/acme/networks", "", `{"name":"web","subnets":[{"prefix":"10.0.0.0/24","gateway":"10.0.0.1"}],"vni":7,"mtu":1400,"unknown":"flood","learning":true}`)
	f.Add("PATCH", "/v1/tenants/acme/networks/web", "", `{"subnets":[],"mtu":0,"unknown":"","learning":null}`)
	f.Add("POST", "/v1/tenants/acme/networks/web/ports", "", `{"name":"c2","mac":"02:00:00:00:00:01","addresses":["10.0.0.9"],"learn":1}`)
	f.Add("PATCH", port, "", `{"addresses":["fd00::1"],"mac":"","learn":-1}`)
	f.Add("PUT", port+"/plug", "", `{"netns":"a","pid":0,"tap":"","ifname":"eth0"}`)
	f.Add("DELETE", "/v1/tenants/acme", "cascade=true&dry-run=true", "")
	f.Add("GET", "/v1/tenants/acme/applied", "revision=1&timeout=1ms", "")
	f.Add("GET", "/v1/flows", "object=acme/web/c1&table=fdb", "")
	f.Add("POST", "/v1/tenants/acme/routes", "", `{"prefix":"10.9.0.0/16","via":["10.0.0.7"]}`)
	f.Add("PATCH", "/v1/tenants/acme/routes/10.9.0.0/16", "", `{"via":[]}`)
	f.Add("DELETE", "/v1/tenants/acme/routes/fd00::/64", "dry-run=true", "")
	f.Add("POST", "/v1/externals", "", `{"name":"campus","kind":"bridge","bridge":"br-ex","subnet":"203.0.113.0/24","pool":{"first":"203.0.113.10","last":"203.0.113.20"},"mtu":1400,"allow":["192.0.2.0/24"]}`)
	f.Add("PATCH", "/v1/externals/internet", "", `{"allow":["192.0.2.5/32"],"no_allow":["0.0.0.0/0"],"pool":null,"mtu":1}`)
	f.Add("GET", "/v1/externals/internet", "", "")
	f.Add("POST", "/v1/tenants/acme/snats", "", `{"external":"internet","address":"100.64.0.9","max_connections":1}`)
	f.Add("POST", port+"/floatings", "", `{"external":"internet"}`)
	f.Add("POST", "/v1/tenants/acme/forwards", "", `{"external":"internet","protocol":"tcp","port":8080,"to":"acme/web/c1","to_port":80}`)
	f.Add("GET", "/v1/tenants/acme/forwards/internet/tcp/8080", "", "")
	srv := api.NewServer(hosttest.New(f).Backend(), quiet())
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		if !strings.HasPrefix(path, "/") {
			path = "/" + path
		}
		for _, setup := range [][2]string{
			{"/v1/tenants", `{"name":"acme"}`},
			{"/v1/tenants/acme/networks", `{"name":"web","subnets":[{"prefix":"10.0.0.0/24"}]}`},
			{"/v1/tenants/acme/networks/web/ports", `{"name":"c1"}`},
			{"/v1/externals", `{"name":"internet","kind":"host"}`},
		} {
			if rec, _ := send(srv, "POST", setup[0], setup[1]); rec.Code != http.StatusCreated && rec.Code != http.StatusConflict {
				t.Fatal(rec.Body)
			}
		}
		r := httptest.NewRequest("GET", "/", strings.NewReader(body))
		if body == "" {
			r = httptest.NewRequest("GET", "/", nil)
		}
		r.Method, r.URL = method, &url.URL{Path: path, RawQuery: query}
		if strings.HasSuffix(path, "/applied") || strings.HasSuffix(path, "/up") {
			return // a stream, which a recorder cannot take
		}
		rec := httptest.NewRecorder()
		srv.ServeHTTP(rec, r)
		switch {
		case rec.Code >= 300 && rec.Code < 400: // ServeMux cleans the path
		case rec.Code >= 500 && rec.Code != http.StatusServiceUnavailable:
			t.Errorf("status %d: %s", rec.Code, rec.Body)
		case !json.Valid(rec.Body.Bytes()):
			t.Errorf("status %d with a body that is not JSON: %q", rec.Code, rec.Body)
		case rec.Code >= 400:
			var e intent.Error
			if err := json.Unmarshal(rec.Body.Bytes(), &e); err != nil || e.What == "" || e.Kind == "" {
				t.Errorf("status %d with a body that is no error: %s", rec.Code, rec.Body)
			}
		}
	})
}

// FuzzAnswer gives the client any answer: it must return, with an error of ours
// or without one, and never take a failure for a success.
func FuzzAnswer(f *testing.F) {
	f.Add(200, `[{"name":"acme","id":1,"vrf":1}]`)
	f.Add(404, `{"kind":"not-found","error":"tenant acme does not exist","hint":"x","users":["y"]}`)
	f.Add(500, `{}`)
	f.Add(200, `{"pending":["host1"]}`+"\n"+`{"done":true}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 {
			return
		}
		err := api.ReadAnswer(status, body, &[]intent.Tenant{})
		if err == nil && status >= 300 {
			t.Errorf("status %d is taken for a success", status)
		}
		_ = api.ReadStream(status, body)
	})
}
