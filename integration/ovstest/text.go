package ovstest

import "strings"

// SplitFlow splits a flow as ovs-ofctl prints it into what comes before its actions, and the
// actions, of which those within parentheses stay together.
func SplitFlow(flow string) (match string, actions []string) {
	match, rest, _ := strings.Cut(flow, "actions=")
	depth, from := 0, 0
	for i, r := range rest {
		switch {
		case r == '(':
			depth++
		case r == ')':
			depth--
		case r == ',' && depth == 0:
			actions = append(actions, rest[from:i])
			from = i + 1
		}
	}
	return match, append(actions, rest[from:])
}
