package main

// This file draws the hosts and their ports.

import (
	"fmt"
	"strings"
)

// wide is the width of a host in the picture, including walls; an odd number, so that the cable
// leaves in the middle.
const wide = 33

// picture draws every host as a box, side by side, on one underlay.
func (d *demo) picture() string {
	var boxes [][]string
	height := 0
	for _, h := range d.Hosts {
		box := []string{h.Name}
		for _, m := range d.machines {
			if m.Host == h {
				box = append(box, fmt.Sprintf("  %-17s %s", m.ref, m.v4))
			}
		}
		boxes = append(boxes, box)
		height = max(height, len(box))
	}
	side := strings.Repeat("-", wide/2-1)
	lines := []string{d.beside(func(int) string { return "+" + side + "-" + side + "+" })}
	for n := range height {
		lines = append(lines, d.beside(func(i int) string {
			text := ""
			if n < len(boxes[i]) {
				text = boxes[i][n]
			}
			return fmt.Sprintf("| %-*s |", wide-4, text)
		}))
	}
	width := len(lines[0])
	label := " VXLAN over " + d.Hosts[0].Underlay.Masked().String() + " "
	rail := strings.Repeat("=", (width-len(label))/2)
	return strings.Join(append(lines,
		d.beside(func(i int) string { return fmt.Sprintf("| %-*s |", wide-4, "br-int, VTEP "+d.Hosts[i].VTEP.String()) }),
		d.beside(func(int) string { return "+" + side + "+" + side + "+" }),
		strings.TrimRight(d.beside(func(int) string { return fmt.Sprintf("%-*s", wide, strings.Repeat(" ", wide/2)+"|") }), " "),
		rail+label+rail,
	), "\n")
}

// beside joins one piece for each host into a line.
func (d *demo) beside(piece func(host int) string) string {
	var pieces []string
	for i := range d.Hosts {
		pieces = append(pieces, piece(i))
	}
	return strings.Join(pieces, "  ")
}
