package store

import (
	"context"

	"github.com/ovloom/ovloom/intent"
)

// Objects that hosts, not users, write.

var bindings = declared[intent.Binding, intent.BindingRef]{
	class: intent.ClassBinding,
	rank:  rankPorts,
	in:    func(s *intent.Snapshot) *[]intent.Binding { return &s.Bindings },
	key:   func(r intent.BindingRef) string { return bindingKey(r.PortRef, r.Host) },
	parse: func(tenant string, p []string) (intent.Binding, bool) {
		if len(p) != 3 {
			return intent.Binding{}, false
		}
		return intent.Binding{Tenant: tenant, Network: p[0], Port: p[1], Host: p[2]}, true
	},
	all: func(ctx context.Context, s *Store, within intent.Reference) ([]intent.Object, error) {
		list, err := s.Bindings(ctx, within.(intent.PortRef))
		return objects(list), err
	},
	missing: func(r intent.BindingRef) *intent.Error {
		return intent.NotFoundf("host %s does not claim port %s", r.Host, r.PortRef)
	},
	needs: func(b intent.Binding) []intent.Reference {
		return []intent.Reference{b.PortRef(), intent.HostRef{Host: b.Host}}
	},
	holds: func(_, b intent.Binding, _ lookup) []hold {
		return []hold{{key: boundKey(b.Host, b.PortRef()), value: b.PortRef().String()}}
	},
}

func init() { keptIn("bindings", &bindings) }

var natAddresses = declared[intent.NATAddress, intent.NATAddressRef]{
	class: intent.ClassNATAddress,
	in:    func(s *intent.Snapshot) *[]intent.NATAddress { return &s.NATAddresses },
	goesWith: func(r intent.NATAddressRef) intent.Reference {
		return intent.SNATRef{Tenant: r.Tenant, External: r.External}
	},
	key: func(r intent.NATAddressRef) string {
		return natAddressKey(intent.SNATRef{Tenant: r.Tenant, External: r.External}, r.Host)
	},
	parse: func(tenant string, p []string) (intent.NATAddress, bool) {
		if len(p) != 2 {
			return intent.NATAddress{}, false
		}
		return intent.NATAddress{Tenant: tenant, External: p[0], Host: p[1]}, true
	},
	root:    func(within intent.Reference) string { return natAddressesRoot(within.(intent.TenantRef).Tenant) },
	missing: func(r intent.NATAddressRef) *intent.Error { return intent.NotFoundf("there is no %s", intent.Title(r)) },
	needs: func(a intent.NATAddress) []intent.Reference {
		return []intent.Reference{intent.SNATRef{Tenant: a.Tenant, External: a.External}, intent.ExternalRef{External: a.External}, intent.HostRef{Host: a.Host}}
	},
	holds: func(_, a intent.NATAddress, _ lookup) []hold {
		return []hold{userHold(a.External, a), addressHold(a.External, a.Address, natAddressHolder(a), false),
			{key: natHostKey(a.Host, intent.SNATRef{Tenant: a.Tenant, External: a.External}), value: a.Address.String()}}
	},
}

func init() { keptIn("nat/addresses", &natAddresses) }

var hosts = declared[intent.Host, intent.HostRef]{
	class: intent.ClassHost,
	key:   func(r intent.HostRef) string { return hostKey(r.Host) },
	parse: func(_ string, p []string) (intent.Host, bool) { return intent.Host{Name: p[0]}, len(p) == 1 },
	all: func(ctx context.Context, s *Store, _ intent.Reference) ([]intent.Object, error) {
		list, err := s.Hosts(ctx)
		return objects(list), err
	},
	missing: func(r intent.HostRef) *intent.Error { return noHost(r.Host) },
	valid:   intent.Host.Validate,
	holds: func(_, h intent.Host, _ lookup) []hold {
		return []hold{{key: vtepKey(h.VTEP), value: h.Name}}
	},
	users: func(ctx context.Context, s *Store, h intent.Host) ([]intent.Reference, error) {
		ports, err := s.ClaimedBy(ctx, h.Name)
		var claims []intent.Reference
		for _, p := range ports {
			claims = append(claims, intent.BindingRef{PortRef: p, Host: h.Name})
		}
		return claims, err
	},
	erase: func(ctx context.Context, s *Store, r intent.HostRef, cascade bool) ([]string, int64, error) {
		return s.RemoveHost(ctx, r.Host, cascade)
	},
}

func init() { keptBelow(hostsRoot, &hosts) }

var guards = declared[intent.Guarded, intent.GuardedRef]{
	class: intent.ClassGuarded,
	key:   func(r intent.GuardedRef) string { return guardHostKey(r.Host) },
	parse: func(_ string, p []string) (intent.Guarded, bool) {
		switch {
		case len(p) == 2 && p[0] == "host":
			return intent.Guarded{Host: p[1]}, true
		case len(p) >= 2 && p[0] == "vtep":
			a, err := parseSortable(p[1])
			return intent.Guarded{VTEP: a}, err == nil
		}
		return intent.Guarded{}, false
	},
	missing: func(r intent.GuardedRef) *intent.Error { return intent.NotFoundf("%s are not known", r) },
}

func init() { keptBelow(guardRoot, &guards) }
