package ovsdb

import (
	"fmt"
	"testing"

	"github.com/ovloom/ovloom/integration/ovstest"
)

// BenchmarkAddPort adds a port, waits for its OpenFlow port and marks it installed.
func BenchmarkAddPort(b *testing.B) {
	s := ovstest.Start(b)
	ctx := b.Context()
	db, err := Connect(ctx, Config{Socket: s.Socket})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	if err := db.EnsureBridge(ctx, brInt); err != nil {
		b.Fatal(err)
	}
	for i := range b.N {
		name := fmt.Sprintf("p%d", i)
		if err := db.AddPort(ctx, "br-int", PortSpec{Name: name, Type: "internal"}); err != nil {
			b.Fatal(err)
		}
		if _, err := db.WaitOFPort(ctx, name); err != nil {
			b.Fatal(err)
		}
		row, _ := db.view().iface(name)
		if err := db.SetInstalled(ctx, row.UUID, true); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkInterfaces reads the interfaces of a bridge with 1,000 ports.
func BenchmarkInterfaces(b *testing.B) {
	s := ovstest.StartDB(b)
	ctx := b.Context()
	db, err := Connect(ctx, Config{Socket: s.Socket})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	s.VsctlNoWait("add-br", "br-int")
	for i := range 1000 {
		if err := db.AddPort(ctx, "br-int", PortSpec{Name: fmt.Sprintf("p%d", i), IfaceID: fmt.Sprintf("uuid-%d", i)}); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for range b.N {
		if n := len(db.Interfaces("br-int")); n != 1000 {
			b.Fatal(n)
		}
	}
}
