package pipeline

import "github.com/ovloom/ovloom/intent"

// This file lists the tables that hold the flows of externals and NAT.

// External emits the flows of an external: its uplink, and the addresses that it
// allows.
func External(sw Switch, v *ExternalView, emit Emit) {
	r := rules{MakeCookie(KindExternal, v.External.ID), emit}
	guardExternal(r, v)
	mtuExternal(r, v)
	if v.OFPort == 0 {
		return
	}
	if v.First {
		sharesUplink(r, sw, v)
	}
	classifyUplink(r, v)
	if v.External.Kind == intent.ExternalBridge {
		externalInUplink(r, sw, v)
	}
	externalNeighbourUplink(r, v)
}

// Address emits the flows of an external address.
func Address(sw Switch, v *AddressView, emit Emit) {
	r := rules{MakeCookie(KindAddress, AddressID(v.External.Number, v.Address)), emit}
	guardAddress(r, v)
	if v.Here {
		externalInAddress(r, sw, v)
		externalOutAddress(r, v)
	}
}

// TenantNAT emits the flows that a tenant has as soon as it has any NAT.
func TenantNAT(sw Switch, v *TenantView, emit Emit) {
	r := rules{MakeCookie(KindTenant, v.Tenant.ID), emit}
	natInTenant(r, v)
	sharesTenant(r, sw, v)
	transitTenant(r, v)
	tenantRules(r, v)
	answerOutTenant(r, v)
}

// SNAT emits the flows of a tenant's SNAT.
func SNAT(v *SNATView, emit Emit) {
	snatRules(rules{MakeCookie(KindSNAT, v.SNAT.ID), emit}, v)
}

// Floating emits the flows of a floating address whose port is here.
func Floating(v *FloatingView, emit Emit) {
	r := rules{MakeCookie(KindFloating, v.Floating.ID), emit}
	natInFloating(r, v)
	floatingRules(r, v)
}

// Forward emits the flows of a forward, on the host that answers for its address.
func Forward(sw Switch, v *ForwardView, emit Emit) {
	if v.Entry {
		natInForward(rules{MakeCookie(KindForward, v.Forward.ID), emit}, sw, v)
	}
}

// Guard emits the flows that keep tenants from the hosts.
func Guard(v *GuardView, emit Emit) {
	r := rules{MakeCookie(KindGuard, 0), emit}
	guardDenials(r, v)
	guardForwards(r, v)
}
