// ovloom store

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/ovloom/ovloom/intent"
)

func (p *program) storeCommand() *cli.Command {
	return &cli.Command{
		Name: "store", Usage: "look after the store, which holds everything that was added",
		Description: `   ovloom store status
   ovloom store backup /var/backups/ovloom.db`,
		Subcommands: []*cli.Command{
			{Name: "status", Usage: "show how the store is", Action: p.storeStatus,
				Description: "   ovloom store status\n   ovloom store status -o json"},
			{Name: "check", Usage: "look for what is wrong in the store", Action: p.storeCheck,
				Description: "Reads the whole store: objects that are not valid, that lack what they refer to, or that have what is another's, such as two hosts with one id; index keys that are missing " +
					"or belong to nothing. Changes nothing. Fails (exit code 1) if anything is found. What is wrong with an object is mended by deleting it and adding it anew, or by restoring a backup.\n\n" +
					"   ovloom store check\n   ovloom store check -o json"},
			p.takes(&cli.Command{Name: "backup", Usage: "write the whole store into a file", Action: p.storeBackup,
				Description: "The file is readable by its owner alone, and none that exists is overwritten. Give --timeout to a store that is large.\n\n   ovloom store backup /var/backups/ovloom.db"}, argument{usage: "FILE"}),
			p.takes(&cli.Command{Name: "restore", Usage: "make the store what it was when a backup was written", Action: p.storeRestore,
				Flags: daemonFlags(),
				Description: "On the host that runs the store, while its ovloomd is stopped (systemctl stop ovloomd). What was there before is kept. Once ovloomd is started, " +
					"every host reads everything anew; what was added after the backup is gone, and packets flow as the backup says.\n\n" +
					"   ovloom store restore /var/backups/ovloom.db"}, argument{usage: "FILE"}),
			{Name: "init", Usage: "begin with a new and empty store, or with another one", Action: p.storeInit, Flags: daemonFlags(),
				Description: "On this host, while its ovloomd is stopped. A host that has followed a store never begins with an empty one by itself, nor follows another: it goes on from its " +
					"copies. If the store's data on this host is lost and there is no backup, this gives up what was: the next start begins with an empty store. What data there is, is set aside. " +
					"On a host whose store is elsewhere (--store), the next start follows whichever answers there.\n\n" +
					"   ovloom store init"},
			p.memberCommand(),
			{Name: "compact", Usage: "drop the store's history and give back its disk space", Action: p.storeCompact,
				Description: "It is done by itself every hour, but for the disk space. A store that is full takes changes again afterwards.\n\n   ovloom store compact"},
		},
	}
}

func (p *program) storeStatus(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	h, err := p.client.StoreHealth(ctx)
	if err != nil {
		return err
	}
	return p.print(h, func(out io.Writer) {
		where := "elsewhere"
		if h.Embedded {
			where = "in this host's ovloomd"
		}
		facts(out,
			[2]string{"runs", where},
			[2]string{"asked at", strings.Join(h.URLs, ", ")},
			[2]string{"revision", strconv.FormatInt(h.Revision, 10)},
			[2]string{"size", fmt.Sprintf("%d kB, %d kB in use", h.Size>>10, h.InUse>>10)},
			[2]string{"etcd", h.Etcd},
			[2]string{"faults", strings.Join(h.Faults, "; ")})
		section(out, "Members", memberColumns, h.Members, memberRow)
	})
}

func (p *program) storeCheck(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	v, err := p.client.CheckStore(ctx)
	if err != nil {
		return err
	}
	if err := p.print(v, func(out io.Writer) {
		for _, f := range v.Findings {
			fmt.Fprintln(out, f)
		}
		if len(v.Findings) == 0 {
			fmt.Fprintln(out, "nothing is wrong in the store")
		}
	}); err != nil {
		return err
	}
	if n := len(v.Findings); n > 0 {
		return fmt.Errorf("%s", count(n, "finding"))
	}
	return nil
}

// backedUp is the JSON output of backup.
type backedUp struct {
	File string `json:"file"`
	Size int64  `json:"size"`
}

func (p *program) storeBackup(c *cli.Context) error {
	file, err := onlyArgument(c)
	if err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	size, err := p.backup(ctx, file)
	if err != nil {
		return err
	}
	return p.print(backedUp{file, size}, func(out io.Writer) { fmt.Fprintf(out, "%s written, %d kB\n", file, size>>10) })
}

// backup writes a file that gets its name only when it is complete.
func (p *program) backup(ctx context.Context, file string) (size int64, err error) {
	f, err := os.CreateTemp(filepath.Dir(file), ".ovloom-backup-*") // mode 0600
	if errors.Is(err, fs.ErrNotExist) {
		return 0, intent.NotFoundf("directory %s does not exist", filepath.Dir(file)).WithHint("make it: `mkdir -p %s`", filepath.Dir(file))
	}
	if err != nil {
		return 0, fmt.Errorf("write the backup: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	defer f.Close()
	if err := p.client.Backup(ctx, f); err != nil {
		return 0, err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return 0, fmt.Errorf("write the backup: %w", err)
	}
	// Unlike a rename, a link never replaces a file.
	if err := os.Link(f.Name(), file); errors.Is(err, fs.ErrExist) {
		return 0, intent.Conflictf("%s exists already", file).WithHint("delete it, or give another name")
	} else if err != nil {
		return 0, fmt.Errorf("write the backup: %w", err)
	}
	info, err := os.Stat(file)
	if err != nil {
		return 0, fmt.Errorf("write the backup: %w", err)
	}
	return info.Size(), nil
}

// storeRestore runs ovloomd, which knows the store. It does not return if ovloomd can be
// started.
func (p *program) storeRestore(c *cli.Context) error {
	file, err := onlyArgument(c)
	if err != nil {
		return err
	}
	return runDaemon(c, "--restore", file)
}

// storeInit runs ovloomd, like storeRestore.
func (p *program) storeInit(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	return runDaemon(c, "--new-store")
}

// daemonFlags locate ovloomd's state.
func daemonFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "state-dir", Usage: "ovloomd's `DIR`, if its configuration does not say"},
		&cli.StringFlag{Name: "config", Usage: "ovloomd's configuration `FILE`, if it is not where it usually is"},
	}
}

// runDaemon replaces this process by ovloomd with arguments.
func runDaemon(c *cli.Context, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find ovloomd: %w", err)
	}
	ovloomd := filepath.Join(filepath.Dir(self), "ovloomd")
	if _, err := os.Stat(ovloomd); err != nil {
		if ovloomd, err = exec.LookPath("ovloomd"); err != nil {
			return intent.NotFoundf("ovloomd is not installed on this host").WithHint("do it on the host that runs the store")
		}
	}
	args = append([]string{"ovloomd"}, args...)
	for _, flag := range []string{"state-dir", "config"} {
		if v := c.String(flag); v != "" {
			args = append(args, "--"+flag, v)
		}
	}
	return fmt.Errorf("start %s: %w", ovloomd, syscall.Exec(ovloomd, args, os.Environ()))
}

func (p *program) storeCompact(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	ctx, cancel := p.call(c)
	defer cancel()
	v, err := p.client.CompactStore(ctx)
	if err != nil {
		return err
	}
	return p.print(v, func(out io.Writer) { fmt.Fprintf(out, "store compacted at revision %d\n", v.Revision) })
}
