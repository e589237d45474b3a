// Command labsweep removes what labs of dead processes left behind, those that
// LAB_KEEP=1 kept included. Labs of living processes stay.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/ovloom/ovloom/integration/lab"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	removed, err := lab.SweepKept(ctx)
	for _, mark := range removed {
		fmt.Println("removed the labs of", mark)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "labsweep:", err)
		os.Exit(1)
	}
}
