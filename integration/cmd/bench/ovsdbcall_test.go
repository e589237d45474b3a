package main

import (
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// TestTransact: a transaction returns its results, failed operations become an error, and the
// server's echo requests are answered.
func TestTransact(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "db.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	answers := []string{`[{"count":1},{}]`, `[{"error":"constraint violation","details":"twice"}]`}
	heard := make(chan []any, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		in := json.NewDecoder(c)
		for i, a := range answers {
			var request struct {
				ID     int   `json:"id"`
				Params []any `json:"params"`
			}
			if in.Decode(&request) != nil {
				return
			}
			if i == 0 {
				heard <- request.Params
				if _, err := c.Write([]byte(`{"id":"echo","method":"echo","params":[]}`)); err != nil {
					return
				}
				var echo struct{ ID string }
				if in.Decode(&echo) != nil || echo.ID != "echo" {
					return
				}
			}
			id, _ := json.Marshal(request.ID)
			if _, err := c.Write([]byte(`{"id":` + string(id) + `,"result":` + a + `,"error":null}`)); err != nil {
				return
			}
		}
	}()
	d, err := dialDatabase(t.Context(), socket, "OVN_Northbound")
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	got, err := d.transact(t.Context(), mutate("Logical_Switch", "name", "web", "ports", "insert", set(named(symbol("p", "a-b")))),
		insert("Interface", "i", columns{"external_ids": mapping("iface-id", "a-b")}))
	if err != nil || len(got) != 2 || got[0].Count != 1 {
		t.Errorf("transact returned %v, %v", got, err)
	}
	params, _ := json.Marshal(<-heard)
	const want = `["OVN_Northbound",` +
		`{"mutations":[["ports","insert",["set",[["named-uuid","p_a_b"]]]]],"op":"mutate","table":"Logical_Switch","where":[["name","==","web"]]},` +
		`{"op":"insert","row":{"external_ids":["map",[["iface-id","a-b"]]]},"table":"Interface","uuid-name":"i"}]`
	if string(params) != want {
		t.Errorf("the server heard\n%s, want\n%s", params, want)
	}
	if _, err := d.transact(t.Context(), insert("Interface", "i", columns{})); err == nil || !strings.Contains(err.Error(), "constraint violation: twice") {
		t.Errorf("a failed operation returned %v", err)
	}
}
