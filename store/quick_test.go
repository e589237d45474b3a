package store

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"

	"github.com/ovloom/ovloom/intent"
	"github.com/ovloom/ovloom/store/kv"
)

// quickItems are ports and bindings as this build encodes them.
func quickItems(t testing.TB) []kv.Item {
	var all []kv.Item
	put := func(key string, v any) {
		text, err := kv.Encode(v, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, kv.Item{Key: key, Value: []byte(text)})
	}
	for i, addrs := range [][]netip.Addr{
		nil,
		{netip.MustParseAddr("10.0.0.2")},
		{netip.MustParseAddr("255.0.10.249"), netip.MustParseAddr("fd00::2")},
		{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("10.0.0.4"), netip.MustParseAddr("fd00::1")},
	} {
		p := intent.Port{Tenant: "acme", Network: "web", Name: fmt.Sprint("p", i), ID: intent.ID(1000 + i), UUID: fmt.Sprintf("00000000-0000-4000-8000-%012x", i),
			MAC: intent.MAC{2, 0, 0xab, 0xcd, 0xef, byte(i)}, Addrs: addrs, Learn: 7 * i}
		put(portKey(p.Ref()), p)
		b := intent.Binding{Tenant: "acme", Network: "web", Port: p.Name, Host: fmt.Sprint("host", i), Generation: uint64(1 + i), Up: i%2 == 0}
		if i > 1 {
			b.Fault = "interface tap0 was deleted"
		}
		put(bindingKey(p.Ref(), b.Host), b)
	}
	return all
}

// quickly decodes an object without encoding/json; false: encoding/json has to.
func quickly(q *quick, it kv.Item) (any, bool) {
	if kindOf(it.Key) == "ports" {
		p, ok := q.port(it.Key, it.Value)
		return p, ok
	}
	b, ok := q.binding(it.Key, it.Value)
	return b, ok
}

// agree fails the test unless quick decoding and full decoding give the same.
func agree(t *testing.T, q *quick, it kv.Item) bool {
	t.Helper()
	got, ok := quickly(q, it)
	if !ok {
		return false
	}
	want, err := objectAt(it.Key, it.Value)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%s %s is read as %+v, want %+v (%v)", it.Key, it.Value, got, want, err)
	}
	return true
}

func TestQuickReadsWhatIsWritten(t *testing.T) {
	var q quick
	for _, it := range quickItems(t) {
		if !agree(t, &q, it) {
			t.Errorf("%s %s is left to encoding/json", it.Key, it.Value)
		}
	}
}

// Decoded values must not change when more is decoded.
func TestQuickKeepsWhatItRead(t *testing.T) {
	var q quick
	items := quickItems(t)
	var got []any
	const rounds = 1000 // several times the size of one buffer
	for range rounds {
		for _, it := range items {
			o, ok := quickly(&q, it)
			if !ok {
				t.Fatalf("%s %s is left to encoding/json", it.Key, it.Value)
			}
			got = append(got, o)
		}
	}
	for i, o := range got {
		it := items[i%len(items)]
		if want, _ := objectAt(it.Key, it.Value); !reflect.DeepEqual(o, want) {
			t.Fatalf("object %d became %+v, want %+v", i, o, want)
		}
	}
}

func TestQuickLeavesWhatIsOdd(t *testing.T) {
	port, binding := "/ovloom/v1/t/acme/ports/web/c1", "/ovloom/v1/t/acme/bindings/web/c1/host1"
	good := `{"v":1,"tenant":"acme","network":"web","name":"c1","id":5,"uuid":"00000000-0000-4000-8000-000000000001","mac":"02:00:00:00:00:05","addresses":["10.0.0.2"]}`
	claim := `{"v":1,"tenant":"acme","network":"web","port":"c1","host":"host1","generation":3,"up":true}`
	var q quick
	for _, it := range []kv.Item{{Key: port, Value: []byte(good)}, {Key: binding, Value: []byte(claim)}} {
		if !agree(t, &q, it) {
			t.Fatalf("%s is left to encoding/json, which the following are compared with", it.Value)
		}
	}
	for _, test := range []struct{ key, value string }{
		{port, `{"v":2,` + good[7:]},
		{port, good + " "},
		{port, good[:len(good)-1]},
		{port, good[:len(good)-1] + `,"colour":"red"}`},
		{port + "2", good},
		{port + "/x", good},
		{"/ovloom/v1/t/acme/peers/web/c1", good},
		{"/ovloom/v1/t/other/ports/web/c1", good},
		{binding + "0", claim},
		{port, `{"v":1,"tenant":"acme","network":"web","name":"c1","id":5,"uuid":"00000000-0000-4000-8000-000000000001","mac":"01:00:00:00:00:05"}`},
		{port, `{"v":1,"tenant":"acme","network":"web","name":"c1","id":5,"uuid":"00000000-0000-4000-8000-000000000001","mac":"02:00:00:00:00:0F"}`},
		{port, `{"v":1,"tenant":"acme","network":"web","name":"c1","id":05,"uuid":"00000000-0000-4000-8000-000000000001","mac":"02:00:00:00:00:05"}`},
		{port, `{"v":1,"tenant":"acme","network":"web","name":"c1","id":5,"uuid":"00000000-0000-4000-8000-000000000001","mac":"02:00:00:00:00:05","addresses":["10.0.0.02"]}`},
		{port, `{"v":1,"tenant":"acme","network":"web","name":"c1","id":5,"uuid":"00000000-0000-4000-8000-000000000001","mac":"02:00:00:00:00:05","addresses":["fe80::1%eth0"]}`},
		{port, `{"v":1,"tenant":"acme","network":"web","name":"c1","id":5,"uuid":"00000000-0000-4000-8000-000000000001","mac":"02:00:00:00:00:05","addresses":["10.0.0.2","10.0.0.2"]}`},
		{binding, `{"v":1,"tenant":"acme","network":"web","port":"c1","host":"host1","generation":0}`},
		{binding, `{"v":1,"tenant":"acme","network":"web","port":"c1","host":"host1","generation":3,"fault":"a \"b\""}`},
		{binding, ""},
	} {
		if o, ok := quickly(&q, kv.Item{Key: test.key, Value: []byte(test.value)}); ok {
			t.Errorf("%s %s is read as %+v", test.key, test.value, o)
		}
	}
}

// A value that is damaged anywhere is decoded as by encoding/json, or left to it.
func TestQuickAgreesAboutDamage(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	items := quickItems(t)
	var q quick
	read := 0
	for range 50_000 {
		it := items[r.IntN(len(items))]
		it.Value = append([]byte(nil), it.Value...)
		at := r.IntN(len(it.Value))
		switch r.IntN(3) {
		case 0:
			it.Value[at] = byte(' ' + r.IntN(96))
		case 1:
			it.Value = append(it.Value[:at], it.Value[at+1:]...)
		case 2:
			it.Value = append(it.Value[:at], append([]byte{it.Value[r.IntN(len(it.Value))]}, it.Value[at:]...)...)
		}
		if agree(t, &q, it) {
			read++
		}
	}
	if read == 0 {
		t.Error("all that was damaged was left to encoding/json: nothing was compared")
	}
}

func FuzzQuick(f *testing.F) {
	for _, it := range quickItems(f) {
		f.Add(it.Key, it.Value)
	}
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		if json.Valid(value) {
			agree(t, new(quick), kv.Item{Key: key, Value: value})
		}
	})
}
