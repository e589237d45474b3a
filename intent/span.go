package intent

// Snapshot is everything of one tenant at one revision of the store.
type Snapshot struct {
	Revision int64     `json:"revision"`
	Tenant   Tenant    `json:"tenant"`
	Networks []Network `json:"networks,omitempty"`
	Ports    []Port    `json:"ports,omitempty"`
	Bindings []Binding `json:"bindings,omitempty"`
	Peers    []Peer    `json:"peers,omitempty"`

	Routes       []Route      `json:"routes,omitempty"`
	SNATs        []SNAT       `json:"snats,omitempty"`
	Floatings    []Floating   `json:"floatings,omitempty"`
	Forwards     []Forward    `json:"forwards,omitempty"`
	NATAddresses []NATAddress `json:"nat_addresses,omitempty"`
}

// Change is one object that was put into the store or deleted from it.
type Change struct {
	Deleted bool
	// Object is a Tenant, Network, Port, Binding, Peer, Route, SNAT, Floating, Forward,
	// NATAddress, External or Host. When Deleted, only the fields that name it are sure
	// to be set.
	Object Object
}

// SpanUpdate is an update to a host about one tenant: either the whole tenant
// (Snapshot, at the start of a watch and again when the store could not serve the
// changes one by one), or the changes of one revision.
type SpanUpdate struct {
	Tenant   string
	Revision int64     // the store's revision that this update reaches
	Snapshot *Snapshot // nil: see Changes
	Changes  []Change
	Gone     bool // the tenant does not exist, or no longer
}
