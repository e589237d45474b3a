package process

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
// again. The state directory may not be writable.
const attemptsEnv = "OVLOOMD_STORE_ATTEMPTS"

// Attempts returns how many processes before this one were started in a row to have the
// store again, as the last of them said; 0 if it said nothing.
func Attempts() int {
	n, err := strconv.Atoi(os.Getenv(attemptsEnv))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// Replace is the reason for which a daemon ends when another takes its place, in the same
// process: what supervises it, if anything, need not know.
type Replace struct {
	Attempts int // that the next one is told of
}

func (*Replace) Error() string { return "restart to open the store again" }

// Exec has a new ovloomd take the place of this one. It returns nil if ctx has ended, and
// an error if it fails.
func (r *Replace) Exec(ctx context.Context) error {
	signal.Reset(os.Interrupt, syscall.SIGTERM)
	if ctx.Err() != nil {
		return nil
	}
	self, err := os.Executable()
	if err != nil || strings.HasSuffix(self, " (deleted)") { // another version was installed
		self = "/proc/self/exe"
	}
	if err := os.Setenv(attemptsEnv, strconv.Itoa(r.Attempts)); err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	// A file that a library left open is not for the next one. Linux before 5.11 lacks this.
	_ = unix.CloseRange(3, ^uint(0)>>32, unix.CLOSE_RANGE_CLOEXEC)
	return fmt.Errorf("restart: %w", syscall.Exec(self, os.Args, os.Environ()))
}
