// Package peers compares ovloom's OpenFlow with that of another project: antrea's
// libOpenflow decodes what package ofp encodes, and its ofnet installs flows beside
// package ofconn. It is a Go module of its own, so that no user of ovloom depends
// on them.
package peers
