package intent

// HostsUpdate is the list of all registered hosts at one revision of the store.
type HostsUpdate struct {
	Revision int64
	Hosts    []Host
}
