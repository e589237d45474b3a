package intent

// ObjectName is an object's name in messages to users: "port acme/web/c1", "snat acme
// through internet".
func ObjectName(o Object) string { return Title(o.Reference()) }

// BindingName is the ObjectName of a host's claim of a port.
func BindingName(ref PortRef, host string) string {
	return Title(BindingRef{PortRef: ref, Host: host})
}
