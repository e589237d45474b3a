// Package openflow holds flows, matches, actions, groups and meters as plain
// values. Their text is that of ovs-ofctl (ovs-actions(7), ovs-fields(7)); their
// bytes on the wire are package ofp's business.
//
// Values made by this package are canonical: two matches that mean the same to
// Open vSwitch are equal, and so are actions by EqualActions, so that flows can be
// compared with what a switch dumps. What only a bug of the caller can ask for, as a
// value that does not fit in its field, panics; text from outside is parsed with
// errors that name the part that is wrong.
//
//	flow.go    flows, groups, meters and changes of them
//	match.go   matches and their terms
//	action.go  actions and instructions; actions.go has constructors
//	field.go   fields; fieldinfo.go says what is known of each, bits.go holds their values
//	event.go   what a switch tells unasked
//	key.go     what identifies a flow, and equality
//	diff.go    from what a switch has to what it should have
//	*text.go   values to text
//	parse*.go  text to values
//
// ovloomd itself parses matches, actions and connections only, which traces and the
// connection tracker print. ParseFlow, ParseGroup, ParseMeter and ParseMod are for tests:
// that they read back whatever the String methods print, and what ovs-ofctl prints, is how
// the values, their text and their bytes are proved to agree.
package openflow
