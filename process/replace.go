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

// attemptsEnv tells the next process how many processes in a row were started to get the
// store back. (The state directory may not be writable.)
const attemptsEnv = "OVLOOMD_STORE_ATTEMPTS"

// Attempts returns how many processes before this one were started in a row to get the
// store back, as passed on by the last of them; 0 without it.
func Attempts() int {
	n, err := strconv.Atoi(os.Getenv(attemptsEnv))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// Replace is the reason for which a daemon ends when a new ovloomd takes its place in the
// same process, unnoticed by a supervisor.
type Replace struct {
	Attempts int // passed on to the next ovloomd
}

func (*Replace) Error() string { return "restart to open the store again" }

// Exec replaces this ovloomd by a new one. It returns nil if ctx has ended, and an error
// if it fails.
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
	// The next ovloomd must not inherit a file that a library left open. Linux before 5.11
	// lacks this flag.
	_ = unix.CloseRange(3, ^uint(0)>>32, unix.CLOSE_RANGE_CLOEXEC)
	return fmt.Errorf("restart: %w", syscall.Exec(self, os.Args, os.Environ()))
}
