package peers

// gap is something that libOpenflow v0.15.0 does not understand although Open
// vSwitch does.
type gap struct {
	words   string
	verdict string // the beginning of what second returns
}

// gaps are all that is known, by the name of the test that meets it. A gap that was
// fixed fails that test.
var gaps = func() map[string]gap {
	const (
		panics    = "panics: runtime error: invalid memory address or nil pointer dereference"
		noMAC     = "a match on a MAC address decodes to one without an address"
		notKnown  = "the action is listed but not known"
		shortUint = "a property that is a number of 16 bits is written with length 6; OpenFlow's is 8"
	)
	return map[string]gap{
		"TestMatches/eth_dst":                  {noMAC, "encodes byte 56 again as 0x00, not 0x02"},
		"TestMatches/eth_dst,_masked":          {noMAC, "encodes byte 56 again as 0x00, not 0x01"},
		"TestMatches/eth_src":                  {noMAC, "encodes byte 56 again as 0x00, not 0x02"},
		"TestMatches/arp_sha":                  {noMAC, "encodes byte 62 again as 0x00, not 0x02"},
		"TestMatches/arp_tha":                  {noMAC, "encodes byte 62 again as 0x00, not 0x02"},
		"TestMatches/nd_target":                {noMAC, "encodes byte 97 again as 0x00, not 0x02"},
		"TestActions/set_field_of_a_MAC":       {noMAC, "encodes byte 72 again as 0x00, not 0x02"},
		"TestMatches/ip_frag":                  {"the field is not known", panics},
		"TestActions/controller_with_userdata": {shortUint, "encodes byte 83 again as 0x06, not 0x08"},
		"TestActions/controller_with_pause":    {shortUint, "encodes byte 83 again as 0x06, not 0x08"},
		"TestActions/push":                     {notKnown, panics},
		"TestActions/pop":                      {notKnown, panics},
		"TestActions/ct_clear":                 {notKnown, panics},
		"TestActions/check_pkt_larger":         {"the action is not known", "fails: unknown NXActionHeader subtype: 49"},
		"TestActions/learn_with_a_limit":       {"the action is not known", "fails: unknown NXActionHeader subtype: 45"},
		"TestMessages/set-async":               {"properties are written with the length of their values alone", "encodes byte 11 again as 0x04, not 0x08"},
		"TestMessages/resume":                  {"the message is only written, not read", panics},
		"TestMessages/ct_flush_of_a_zone":      {"the message is not known", panics},
	}
}()

// met holds the names of the tests that compared a message.
var met = map[string]bool{}

// unmet returns the gaps whose tests are gone, after all tests have run.
func unmet() (names []string) {
	for name := range gaps {
		if !met[name] {
			names = append(names, name)
		}
	}
	return names
}
