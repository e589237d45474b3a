// Beginning anew by itself, to have the store again.

package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// attemptsEnv tells the next process how many were started in a row to have the store
// again. The state directory may not be one that can be written.
const attemptsEnv = "OVLOOMD_STORE_ATTEMPTS"

// attempts returns what the process before this one said, 0 if there was none.
func attempts() int {
	n, err := strconv.Atoi(os.Getenv(attemptsEnv))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// startAgain ends a daemon whose place another takes, in the same process: what
// supervises it, if anything, need not know.
type startAgain struct{ attempts int }

func (*startAgain) Error() string { return "begin anew, to take up the store again" }

// takeStoreUpAgain ends this daemon in an orderly way when the store's member, without
// which it runs, would come up in the next one. Packets keep flowing, as in any restart.
func (d *daemon) takeStoreUpAgain(ctx context.Context) error {
	if n, ok := d.store.AwaitRepair(ctx); ok {
		d.log.Info("beginning anew, to take up the store again")
		d.end(&startAgain{n})
	}
	return nil
}

// exec has a new ovloomd take the place of this one. It returns only if ctx has ended,
// or if it fails.
func (a *startAgain) exec(ctx context.Context) error {
	signal.Reset(os.Interrupt, syscall.SIGTERM)
	if ctx.Err() != nil {
		return nil
	}
	self, err := os.Executable()
	if err != nil || strings.HasSuffix(self, " (deleted)") { // another version was installed
		self = "/proc/self/exe"
	}
	if err := os.Setenv(attemptsEnv, strconv.Itoa(a.attempts)); err != nil {
		return fmt.Errorf("begin anew: %w", err)
	}
	// Whatever a library has left open is not the next one's. Linux before 5.11 lacks this.
	_ = unix.CloseRange(3, ^uint(0)>>32, unix.CLOSE_RANGE_CLOEXEC)
	return fmt.Errorf("begin anew: %w", syscall.Exec(self, os.Args, os.Environ()))
}
