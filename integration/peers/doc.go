// Package peers compares ovloom's OpenFlow with that of other projects: antrea's
// libOpenflow decodes what package ofp encodes, its ofnet installs flows beside
// package ofconn, and go-openvswitch reads the flows of package pipeline as text. It is a Go module of its own, so that no user of ovloom depends
// on them.
package peers
