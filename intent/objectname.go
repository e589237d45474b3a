package intent

import "fmt"

// ObjectName is what users are told of an object: "port acme/web/c1", "snat acme through
// internet".
func ObjectName(object any) string {
	switch o := object.(type) {
	case Tenant:
		return "tenant " + o.Name
	case Host:
		return "host " + o.Name
	case Binding:
		return BindingName(o.PortRef(), o.Host)
	case Network:
		return "network " + o.Ref().String()
	case Port:
		return "port " + o.Ref().String()
	case Peer:
		return "peer " + o.Ref().String()
	case Route:
		return "route " + o.Ref().String()
	case External:
		return "external " + o.Name
	case SNAT:
		return "snat " + o.Ref().String()
	case Floating:
		return "floating " + o.Ref().String()
	case Forward:
		return "forward " + o.Ref().String()
	case NATAddress:
		return fmt.Sprintf("NAT address of tenant %s on external %s at %s", o.Tenant, o.External, o.Host)
	case Guarded:
		if o.Host != "" {
			return "addresses of host " + o.Host
		}
		return "VTEP " + o.VTEP.String() + " of a peer"
	}
	return fmt.Sprintf("%T", object)
}

// BindingName is the ObjectName of a host's claim of a port.
func BindingName(ref PortRef, host string) string {
	return fmt.Sprintf("binding %s on %s", ref, host)
}
