package intent

// HostsUpdate is the list of all registered hosts at one revision of the store.
type HostsUpdate struct {
	Revision int64
	Hosts    []Host
}

// ExternalsUpdate is the list of all externals at one revision of the store.
type ExternalsUpdate struct {
	Revision  int64
	Externals []External
}

// HostState is a registered host and its state in the store.
type HostState struct {
	Host
	Alive   bool  `json:"alive"`             // its lease is held
	Unknown bool  `json:"unknown,omitempty"` // whether it is alive is unknown: this is a cached copy, the store does not answer
	Applied int64 `json:"applied"`           // the revision that its switch has reached; 0: none yet
}
