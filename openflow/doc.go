// Package openflow holds flows, matches, actions, groups and meters as plain
// values. Their text is ovs-ofctl's (ovs-actions(7), ovs-fields(7)); package ofp
// encodes them for the wire.
//
// Values made by this package are canonical: two matches that mean the same to
// Open vSwitch are equal, and so are actions by EqualActions, so that flows can be
// compared with a switch's dump. A caller's bug, such as a value that does not fit in
// its field, panics; parsers of text from outside return errors that name the wrong
// part.
//
//	flow.go    flows, groups, meters and changes of them
//	match.go   matches and their terms
//	action.go  actions and instructions; actions.go has constructors
//	field.go   fields; fieldinfo.go has their names and widths, bits.go their values
//	event.go   a switch's unsolicited messages
//	key.go     what identifies a flow, and equality
//	diff.go    from a switch's contents to the wanted ones
//	*text.go   values to text
//	parse*.go  text to values
//
// ovloomd itself only parses matches, actions and connections, from traces and conntrack
// dumps. ParseFlow, ParseGroup, ParseMeter and ParseMod are for tests: they read the output
// of the String methods and of ovs-ofctl, which proves that values, text and bytes agree.
package openflow
