package intent

import "net/netip"

// Connection is a connection of a tenant with the outside, as tracked on one host.
type Connection struct {
	Port     string `json:"port,omitempty"` // of the tenant, as acme/web/c1; "": no port has its address
	Protocol string `json:"protocol"`       // tcp, udp, icmp, or a number

	// As its first packet was sent: addresses, with ports where the protocol has them.
	Source      string `json:"source"`
	Destination string `json:"destination"`

	// Its translation; omitted where nothing is translated.
	TranslatedSource      string `json:"translated_source,omitempty"`
	TranslatedDestination string `json:"translated_destination,omitempty"`

	State string `json:"state,omitempty"` // of TCP, such as ESTABLISHED
}

// LearnedMAC is a MAC address that one host's switch has learned in a network.
type LearnedMAC struct {
	MAC    MAC     `json:"mac"`
	Behind string  `json:"behind"`       // "port acme/web/bridge1", "peer acme/web/tor1" or "host host2"
	Idle   float64 `json:"idle_seconds"` // since a packet for it
	Age    float64 `json:"age_seconds"`  // since it was learned there

	VTEP netip.Addr `json:"vtep,omitzero"` // of the peer or host
}
