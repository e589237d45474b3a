package store

import (
	"context"

	"github.com/ovloom/ovloom/intent"
)

// Typed methods for tests.

func added[T intent.Object](o intent.Object, revision int64, err error) (T, int64, error) {
	v, err := intent.As[T](o, err)
	return v, revision, err
}

func edited[T intent.Object](edit func(*T) error) func(intent.Object) (intent.Object, error) {
	return func(o intent.Object) (intent.Object, error) {
		v := o.(T)
		err := edit(&v)
		return v, err
	}
}

// Tenant returns one object.
func (s *Store) Tenant(ctx context.Context, name string) (intent.Tenant, error) {
	return intent.As[intent.Tenant](s.Get(ctx, intent.TenantRef{Tenant: name}))
}

// TenantUsers lists what DeleteTenant with cascade would also delete.
func (s *Store) TenantUsers(ctx context.Context, name string) ([]string, error) {
	users, err := s.Users(ctx, intent.TenantRef{Tenant: name})
	return intent.Titles(users), err
}

// DeleteTenant is declared.delete with its type.
func (s *Store) DeleteTenant(ctx context.Context, name string, cascade bool) (deleted []string, revision int64, err error) {
	return s.Delete(ctx, intent.TenantRef{Tenant: name}, cascade)
}

// AddNetwork is declared.add with its type.
func (s *Store) AddNetwork(ctx context.Context, o intent.Network) (intent.Network, int64, error) {
	return added[intent.Network](s.Add(ctx, o))
}

// SetNetwork is declared.edit with its type.
func (s *Store) SetNetwork(ctx context.Context, ref intent.NetworkRef, edit func(*intent.Network) error) (intent.Network, int64, error) {
	return added[intent.Network](s.Set(ctx, ref, edited(edit)))
}

// NetworkUsers lists what DeleteNetwork with cascade would also delete.
func (s *Store) NetworkUsers(ctx context.Context, ref intent.NetworkRef) ([]string, error) {
	users, err := s.Users(ctx, ref)
	return intent.Titles(users), err
}

// DeleteNetwork is declared.delete with its type.
func (s *Store) DeleteNetwork(ctx context.Context, ref intent.NetworkRef, cascade bool) (deleted []string, revision int64, err error) {
	return s.Delete(ctx, ref, cascade)
}

// AddPort is declared.add with its type.
func (s *Store) AddPort(ctx context.Context, o intent.Port) (intent.Port, int64, error) {
	return added[intent.Port](s.Add(ctx, o))
}

// SetPort is declared.edit with its type.
func (s *Store) SetPort(ctx context.Context, ref intent.PortRef, edit func(*intent.Port) error) (intent.Port, int64, error) {
	return added[intent.Port](s.Set(ctx, ref, edited(edit)))
}

// Ports lists the objects of one class.
func (s *Store) Ports(ctx context.Context, ref intent.NetworkRef) ([]intent.Port, error) {
	return intent.AllAs[intent.Port](s.List(ctx, intent.ClassPort, ref))
}

// DeletePort is declared.delete with its type.
func (s *Store) DeletePort(ctx context.Context, ref intent.PortRef, cascade bool) (deleted []string, revision int64, err error) {
	return s.Delete(ctx, ref, cascade)
}

// AddPeer is declared.add with its type.
func (s *Store) AddPeer(ctx context.Context, o intent.Peer) (intent.Peer, int64, error) {
	return added[intent.Peer](s.Add(ctx, o))
}

// Peer returns one object.
func (s *Store) Peer(ctx context.Context, ref intent.PeerRef) (intent.Peer, error) {
	return intent.As[intent.Peer](s.Get(ctx, ref))
}

// DeletePeer is declared.delete with its type.
func (s *Store) DeletePeer(ctx context.Context, ref intent.PeerRef) (deleted []string, revision int64, err error) {
	return s.Delete(ctx, ref, false)
}

// AddRoute is declared.add with its type.
func (s *Store) AddRoute(ctx context.Context, o intent.Route) (intent.Route, int64, error) {
	return added[intent.Route](s.Add(ctx, o))
}

// SetRoute is declared.edit with its type.
func (s *Store) SetRoute(ctx context.Context, ref intent.RouteRef, edit func(*intent.Route) error) (intent.Route, int64, error) {
	return added[intent.Route](s.Set(ctx, ref, edited(edit)))
}

// Route returns one object.
func (s *Store) Route(ctx context.Context, ref intent.RouteRef) (intent.Route, error) {
	return intent.As[intent.Route](s.Get(ctx, ref))
}

// Routes lists the objects of one class.
func (s *Store) Routes(ctx context.Context, tenant string) ([]intent.Route, error) {
	return intent.AllAs[intent.Route](s.List(ctx, intent.ClassRoute, intent.TenantRef{Tenant: tenant}))
}

// DeleteRoute is declared.delete with its type.
func (s *Store) DeleteRoute(ctx context.Context, ref intent.RouteRef) (deleted []string, revision int64, err error) {
	return s.Delete(ctx, ref, false)
}

// AddExternal is declared.add with its type.
func (s *Store) AddExternal(ctx context.Context, o intent.External) (intent.External, int64, error) {
	return added[intent.External](s.Add(ctx, o))
}

// SetExternal is declared.edit with its type.
func (s *Store) SetExternal(ctx context.Context, name string, edit func(*intent.External) error) (intent.External, int64, error) {
	return added[intent.External](s.Set(ctx, intent.ExternalRef{External: name}, edited(edit)))
}

// External returns one object.
func (s *Store) External(ctx context.Context, name string) (intent.External, error) {
	return intent.As[intent.External](s.Get(ctx, intent.ExternalRef{External: name}))
}

// Externals lists the objects of one class.
func (s *Store) Externals(ctx context.Context) ([]intent.External, error) {
	return intent.AllAs[intent.External](s.List(ctx, intent.ClassExternal, nil))
}

// DeleteExternal is declared.delete with its type.
func (s *Store) DeleteExternal(ctx context.Context, name string, cascade bool) (deleted []string, revision int64, err error) {
	return s.Delete(ctx, intent.ExternalRef{External: name}, cascade)
}

// AddSNAT is declared.add with its type.
func (s *Store) AddSNAT(ctx context.Context, o intent.SNAT) (intent.SNAT, int64, error) {
	return added[intent.SNAT](s.Add(ctx, o))
}

// SetSNAT is declared.edit with its type.
func (s *Store) SetSNAT(ctx context.Context, ref intent.SNATRef, edit func(*intent.SNAT) error) (intent.SNAT, int64, error) {
	return added[intent.SNAT](s.Set(ctx, ref, edited(edit)))
}

// SNAT returns one object.
func (s *Store) SNAT(ctx context.Context, ref intent.SNATRef) (intent.SNAT, error) {
	return intent.As[intent.SNAT](s.Get(ctx, ref))
}

// SNATs lists the objects of one class.
func (s *Store) SNATs(ctx context.Context, tenant string) ([]intent.SNAT, error) {
	return intent.AllAs[intent.SNAT](s.List(ctx, intent.ClassSNAT, intent.TenantRef{Tenant: tenant}))
}

// DeleteSNAT is declared.delete with its type.
func (s *Store) DeleteSNAT(ctx context.Context, ref intent.SNATRef) (deleted []string, revision int64, err error) {
	return s.Delete(ctx, ref, false)
}

// AddFloating is declared.add with its type.
func (s *Store) AddFloating(ctx context.Context, o intent.Floating) (intent.Floating, int64, error) {
	return added[intent.Floating](s.Add(ctx, o))
}

// Floating returns one object.
func (s *Store) Floating(ctx context.Context, ref intent.FloatingRef) (intent.Floating, error) {
	return intent.As[intent.Floating](s.Get(ctx, ref))
}

// Floatings lists the objects of one class.
func (s *Store) Floatings(ctx context.Context, tenant string) ([]intent.Floating, error) {
	return intent.AllAs[intent.Floating](s.List(ctx, intent.ClassFloating, intent.TenantRef{Tenant: tenant}))
}

// DeleteFloating is declared.delete with its type.
func (s *Store) DeleteFloating(ctx context.Context, ref intent.FloatingRef) (deleted []string, revision int64, err error) {
	return s.Delete(ctx, ref, false)
}

// AddForward is declared.add with its type.
func (s *Store) AddForward(ctx context.Context, o intent.Forward) (intent.Forward, int64, error) {
	return added[intent.Forward](s.Add(ctx, o))
}

// Forward returns one object.
func (s *Store) Forward(ctx context.Context, ref intent.ForwardRef) (intent.Forward, error) {
	return intent.As[intent.Forward](s.Get(ctx, ref))
}

// Forwards lists the objects of one class.
func (s *Store) Forwards(ctx context.Context, tenant string) ([]intent.Forward, error) {
	return intent.AllAs[intent.Forward](s.List(ctx, intent.ClassForward, intent.TenantRef{Tenant: tenant}))
}

// DeleteForward is declared.delete with its type.
func (s *Store) DeleteForward(ctx context.Context, ref intent.ForwardRef) (deleted []string, revision int64, err error) {
	return s.Delete(ctx, ref, false)
}

// AddTenant adds a tenant.
func (s *Store) AddTenant(ctx context.Context, name string) (intent.Tenant, int64, error) {
	return added[intent.Tenant](s.Add(ctx, intent.Tenant{Name: name}))
}

// NATAddresses lists the addresses that hosts have taken for a tenant, ordered by
// external and host.
func (s *Store) NATAddresses(ctx context.Context, tenant string) ([]intent.NATAddress, error) {
	return intent.AllAs[intent.NATAddress](s.List(ctx, intent.ClassNATAddress, intent.TenantRef{Tenant: tenant}))
}

// HostUsers lists what RemoveHost with cascade would also delete.
func (s *Store) HostUsers(ctx context.Context, name string) ([]string, error) {
	users, err := s.Users(ctx, intent.HostRef{Host: name})
	return intent.Titles(users), err
}
