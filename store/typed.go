package store

import (
	"context"

	"github.com/ovloom/ovloom/intent"
)

// The typed methods of each class.

// Tenant returns one object of its class.
func (s *Store) Tenant(ctx context.Context, name string) (intent.Tenant, error) {
	return tenants.get(ctx, s, intent.TenantRef{Tenant: name})
}

// TenantUsers lists what DeleteTenant with cascade would delete besides.
func (s *Store) TenantUsers(ctx context.Context, name string) ([]string, error) {
	users, err := tenants.usersOf(ctx, s, intent.TenantRef{Tenant: name})
	return intent.Titles(users), err
}

// DeleteTenant deletes an object of its class; see declared.delete.
func (s *Store) DeleteTenant(ctx context.Context, name string, cascade bool) (deleted []string, revision int64, err error) {
	return tenants.delete(ctx, s, intent.TenantRef{Tenant: name}, cascade)
}

// AddNetwork adds an object of its class; see declared.add.
func (s *Store) AddNetwork(ctx context.Context, o intent.Network) (intent.Network, int64, error) {
	return networks.add(ctx, s, o)
}

// SetNetwork changes an object of its class; see declared.edit.
func (s *Store) SetNetwork(ctx context.Context, ref intent.NetworkRef, edit func(*intent.Network) error) (intent.Network, int64, error) {
	return networks.edit(ctx, s, ref, edit)
}

// Network returns one object of its class.
func (s *Store) Network(ctx context.Context, ref intent.NetworkRef) (intent.Network, error) {
	return networks.get(ctx, s, ref)
}

// Networks lists the objects of a class.
func (s *Store) Networks(ctx context.Context, tenant string) ([]intent.Network, error) {
	return networks.list(ctx, s, intent.TenantRef{Tenant: tenant})
}

// NetworkUsers lists what DeleteNetwork with cascade would delete besides.
func (s *Store) NetworkUsers(ctx context.Context, ref intent.NetworkRef) ([]string, error) {
	users, err := networks.usersOf(ctx, s, ref)
	return intent.Titles(users), err
}

// DeleteNetwork deletes an object of its class; see declared.delete.
func (s *Store) DeleteNetwork(ctx context.Context, ref intent.NetworkRef, cascade bool) (deleted []string, revision int64, err error) {
	return networks.delete(ctx, s, ref, cascade)
}

// AddPort adds an object of its class; see declared.add.
func (s *Store) AddPort(ctx context.Context, o intent.Port) (intent.Port, int64, error) {
	return ports.add(ctx, s, o)
}

// SetPort changes an object of its class; see declared.edit.
func (s *Store) SetPort(ctx context.Context, ref intent.PortRef, edit func(*intent.Port) error) (intent.Port, int64, error) {
	return ports.edit(ctx, s, ref, edit)
}

// Port returns one object of its class.
func (s *Store) Port(ctx context.Context, ref intent.PortRef) (intent.Port, error) {
	return ports.get(ctx, s, ref)
}

// Ports lists the objects of a class.
func (s *Store) Ports(ctx context.Context, ref intent.NetworkRef) ([]intent.Port, error) {
	return ports.list(ctx, s, ref)
}

// PortUsers lists what DeletePort with cascade would delete besides.
func (s *Store) PortUsers(ctx context.Context, ref intent.PortRef) ([]string, error) {
	users, err := ports.usersOf(ctx, s, ref)
	return intent.Titles(users), err
}

// DeletePort deletes an object of its class; see declared.delete.
func (s *Store) DeletePort(ctx context.Context, ref intent.PortRef, cascade bool) (deleted []string, revision int64, err error) {
	return ports.delete(ctx, s, ref, cascade)
}

// AddPeer adds an object of its class; see declared.add.
func (s *Store) AddPeer(ctx context.Context, o intent.Peer) (intent.Peer, int64, error) {
	return peers.add(ctx, s, o)
}

// Peer returns one object of its class.
func (s *Store) Peer(ctx context.Context, ref intent.PeerRef) (intent.Peer, error) {
	return peers.get(ctx, s, ref)
}

// DeletePeer deletes an object of its class; see declared.delete.
func (s *Store) DeletePeer(ctx context.Context, ref intent.PeerRef) (deleted []string, revision int64, err error) {
	return peers.delete(ctx, s, ref, false)
}

// AddRoute adds an object of its class; see declared.add.
func (s *Store) AddRoute(ctx context.Context, o intent.Route) (intent.Route, int64, error) {
	return routes.add(ctx, s, o)
}

// SetRoute changes an object of its class; see declared.edit.
func (s *Store) SetRoute(ctx context.Context, ref intent.RouteRef, edit func(*intent.Route) error) (intent.Route, int64, error) {
	return routes.edit(ctx, s, ref, edit)
}

// Route returns one object of its class.
func (s *Store) Route(ctx context.Context, ref intent.RouteRef) (intent.Route, error) {
	return routes.get(ctx, s, ref)
}

// Routes lists the objects of a class.
func (s *Store) Routes(ctx context.Context, tenant string) ([]intent.Route, error) {
	return routes.list(ctx, s, intent.TenantRef{Tenant: tenant})
}

// DeleteRoute deletes an object of its class; see declared.delete.
func (s *Store) DeleteRoute(ctx context.Context, ref intent.RouteRef) (deleted []string, revision int64, err error) {
	return routes.delete(ctx, s, ref, false)
}

// AddExternal adds an object of its class; see declared.add.
func (s *Store) AddExternal(ctx context.Context, o intent.External) (intent.External, int64, error) {
	return externals.add(ctx, s, o)
}

// SetExternal changes an object of its class; see declared.edit.
func (s *Store) SetExternal(ctx context.Context, name string, edit func(*intent.External) error) (intent.External, int64, error) {
	return externals.edit(ctx, s, intent.ExternalRef{External: name}, edit)
}

// External returns one object of its class.
func (s *Store) External(ctx context.Context, name string) (intent.External, error) {
	return externals.get(ctx, s, intent.ExternalRef{External: name})
}

// Externals lists the objects of a class.
func (s *Store) Externals(ctx context.Context) ([]intent.External, error) {
	return externals.list(ctx, s, nil)
}

// ExternalUsers lists what DeleteExternal with cascade would delete besides.
func (s *Store) ExternalUsers(ctx context.Context, name string) ([]string, error) {
	users, err := externals.usersOf(ctx, s, intent.ExternalRef{External: name})
	return intent.Titles(users), err
}

// DeleteExternal deletes an object of its class; see declared.delete.
func (s *Store) DeleteExternal(ctx context.Context, name string, cascade bool) (deleted []string, revision int64, err error) {
	return externals.delete(ctx, s, intent.ExternalRef{External: name}, cascade)
}

// AddSNAT adds an object of its class; see declared.add.
func (s *Store) AddSNAT(ctx context.Context, o intent.SNAT) (intent.SNAT, int64, error) {
	return snats.add(ctx, s, o)
}

// SetSNAT changes an object of its class; see declared.edit.
func (s *Store) SetSNAT(ctx context.Context, ref intent.SNATRef, edit func(*intent.SNAT) error) (intent.SNAT, int64, error) {
	return snats.edit(ctx, s, ref, edit)
}

// SNAT returns one object of its class.
func (s *Store) SNAT(ctx context.Context, ref intent.SNATRef) (intent.SNAT, error) {
	return snats.get(ctx, s, ref)
}

// SNATs lists the objects of a class.
func (s *Store) SNATs(ctx context.Context, tenant string) ([]intent.SNAT, error) {
	return snats.list(ctx, s, intent.TenantRef{Tenant: tenant})
}

// DeleteSNAT deletes an object of its class; see declared.delete.
func (s *Store) DeleteSNAT(ctx context.Context, ref intent.SNATRef) (deleted []string, revision int64, err error) {
	return snats.delete(ctx, s, ref, false)
}

// AddFloating adds an object of its class; see declared.add.
func (s *Store) AddFloating(ctx context.Context, o intent.Floating) (intent.Floating, int64, error) {
	return floatings.add(ctx, s, o)
}

// Floating returns one object of its class.
func (s *Store) Floating(ctx context.Context, ref intent.FloatingRef) (intent.Floating, error) {
	return floatings.get(ctx, s, ref)
}

// Floatings lists the objects of a class.
func (s *Store) Floatings(ctx context.Context, tenant string) ([]intent.Floating, error) {
	return floatings.list(ctx, s, intent.TenantRef{Tenant: tenant})
}

// DeleteFloating deletes an object of its class; see declared.delete.
func (s *Store) DeleteFloating(ctx context.Context, ref intent.FloatingRef) (deleted []string, revision int64, err error) {
	return floatings.delete(ctx, s, ref, false)
}

// AddForward adds an object of its class; see declared.add.
func (s *Store) AddForward(ctx context.Context, o intent.Forward) (intent.Forward, int64, error) {
	return forwards.add(ctx, s, o)
}

// Forward returns one object of its class.
func (s *Store) Forward(ctx context.Context, ref intent.ForwardRef) (intent.Forward, error) {
	return forwards.get(ctx, s, ref)
}

// Forwards lists the objects of a class.
func (s *Store) Forwards(ctx context.Context, tenant string) ([]intent.Forward, error) {
	return forwards.list(ctx, s, intent.TenantRef{Tenant: tenant})
}

// DeleteForward deletes an object of its class; see declared.delete.
func (s *Store) DeleteForward(ctx context.Context, ref intent.ForwardRef) (deleted []string, revision int64, err error) {
	return forwards.delete(ctx, s, ref, false)
}

// AddTenant adds a tenant.
func (s *Store) AddTenant(ctx context.Context, name string) (intent.Tenant, int64, error) {
	return tenants.add(ctx, s, intent.Tenant{Name: name})
}

// NATAddresses lists the addresses that hosts have taken for a tenant, ordered by
// external and host.
func (s *Store) NATAddresses(ctx context.Context, tenant string) ([]intent.NATAddress, error) {
	return natAddresses.list(ctx, s, intent.TenantRef{Tenant: tenant})
}
