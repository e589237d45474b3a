// Package openflow holds flows, matches, actions, groups and meters as plain
// values. Their text is that of ovs-ofctl (ovs-actions(7), ovs-fields(7)); their
// bytes on the wire are package ofp's business.
//
// Values made by this package are canonical: two matches or actions that mean
// the same to Open vSwitch are equal, so that flows can be compared with what a
// switch dumps.
package openflow
