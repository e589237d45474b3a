package ovloom_test

// This file holds the import table of docs/architecture.md: which package may
// know which other, and which outside library is confined to which package.

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/ovloom/ovloom/"

// rule says what one package may import besides the standard library.
type rule struct {
	ours    string // packages of this module, separated by spaces
	outside string // modules or package prefixes of others
	noIO    bool   // neither files, sockets nor processes
	about   string // what packages that share a rule do
}

const (
	libovsdb = "github.com/ovn-kubernetes/libovsdb"
	etcd     = "go.etcd.io/etcd"
	raft     = "go.etcd.io/raft"
	bbolt    = "go.etcd.io/bbolt"
	netlink  = "github.com/vishvananda/netlink github.com/vishvananda/netns github.com/safchain/ethtool"
	cli      = "github.com/urfave/cli/v2"
	yaml     = "go.yaml.in/yaml/v3"
)

// table names every package. One that ends in a slash stands for all below.
var table = map[string]rule{
	"intent":                {noIO: true},
	"openflow":              {noIO: true},
	"openflow/ofp":          {ours: "openflow", noIO: true},
	"openflow/ofconn":       {ours: "openflow openflow/ofp"},
	"pipeline":              {ours: "intent openflow", noIO: true},
	"packet":                {ours: "intent", noIO: true},
	"controller":            {ours: "intent pipeline openflow router controller/world loop"},
	"controller/world":      {ours: "intent pipeline openflow router", noIO: true},
	"router":                {ours: "intent pipeline openflow packet", noIO: true},
	"doctor":                {ours: "intent openflow datapath hostnet loop ovsdb pki"},
	"unixctl":               {},
	"loop":                  {noIO: true},
	"config":                {ours: "intent store/cluster", outside: yaml},
	"process":               {},
	"repair":                {},
	"durable":               {},
	"keeper":                {ours: "openflow openflow/ofconn pipeline controller intent loop ovsdb"},
	"datapath":              {ours: "openflow unixctl loop", outside: "github.com/digitalocean/go-openvswitch/ovsnl"},
	"explain":               {ours: "intent pipeline openflow openflow/ofconn unixctl controller ovsdb"},
	"pki":                   {ours: "intent"},
	"store":                 {ours: "intent store/cluster store/kv loop"},
	"store/cluster":         {ours: "intent pki durable store/kv", outside: etcd + " " + raft + " " + bbolt + " go.uber.org/zap google.golang.org/grpc"},
	"store/kv":              {ours: "intent durable", outside: etcd + " google.golang.org/grpc"},
	"ovsdb":                 {ours: "intent", outside: libovsdb + " github.com/go-logr/logr"},
	"hostnet":               {ours: "intent packet", outside: netlink},
	"underlay":              {ours: "hostnet intent durable loop"},
	"exit":                  {ours: "intent api controller openflow ovsdb hostnet repair loop"},
	"api":                   {ours: "intent"},
	"agent":                 {ours: "api hostnet intent ovsdb repair durable openflow controller loop"},
	"agent/start":           {ours: "agent api config hostnet intent keeper ovsdb pipeline process store underlay"},
	"agent/status":          {ours: "agent api controller datapath exit intent keeper openflow openflow/ofconn ovsdb pipeline repair store store/cluster explain"},
	"agent/upkeep":          {ours: "api store store/cluster"},
	"agent/leave":           {ours: "agent api exit hostnet intent ovsdb underlay"},
	"cmd/ovloom":            {ours: "api intent pki", outside: cli},
	"cmd/ovloomd":           {ours: "agent agent/leave agent/start agent/status agent/upkeep api config intent store openflow pipeline controller datapath doctor unixctl explain exit pki hostnet repair keeper process", outside: cli},
	"integration/lab":       {ours: "intent", outside: "github.com/vishvananda/netlink github.com/vishvananda/netns"},
	"integration/overlay":   {ours: "integration/lab api intent hostnet", outside: "github.com/digitalocean/go-openvswitch/ovs"},
	"integration/ovstest":   {},
	"integration/":          {about: "tests in labs, by subject"}, // they may use everything of ours
	"integration/host":      {outside: "github.com/digitalocean/go-openvswitch/ovs", about: "tests of a host: what another program reads of its switch, too"},
	"integration/store":     {outside: etcd, about: "tests of the store: what nothing of ours would write into it, too"},
	"integration/cmd/":      {ours: "integration/lab", about: "programs that run labs"},
	"integration/cmd/bench": {ours: "integration/lab api intent store store/cluster openflow openflow/ofconn controller unixctl", outside: etcd}, // a store of three members

	// What tests share. It knows what it stands in for.
	"api/hosttest":                   {ours: "api intent store store/storetest"},
	"controller/internal/switchtest": {ours: "openflow"},
	"store/storetest":                {ours: "store store/cluster"},
}

// anywhere lists what every package may import: extensions of the standard
// library, and identifiers.
const anywhere = "golang.org/x/sys golang.org/x/sync github.com/google/uuid"

// forbidden lists the packages that noIO forbids.
var forbidden = []string{"os", "os/exec", "os/user", "syscall", "net/http", "net/rpc", "crypto/tls", "golang.org/x/sys/unix"}

// pkg is what a package imports, with and without its tests.
type pkg struct {
	ImportPath  string
	Imports     []string
	TestImports []string
}

// violations returns what in p breaks its rule, in words. Of tests only imports
// from outside count: they may build what they test from any of our packages.
func violations(p pkg) []string {
	name := strings.TrimPrefix(p.ImportPath, module)
	r, ok := ruleFor(name)
	if !ok {
		return []string{fmt.Sprintf("package %s is not in the import table: say in deps_test.go and in docs/architecture.md what it may import", name)}
	}
	var found []string
	for _, imp := range p.Imports {
		ours, isOurs := strings.CutPrefix(imp, module)
		switch {
		case isOurs && !slices.Contains(strings.Fields(r.ours), ours):
			found = append(found, fmt.Sprintf("package %s imports our %s; it may import: %s", name, ours, orNone(r.ours)))
		case r.noIO && slices.Contains(forbidden, imp):
			found = append(found, fmt.Sprintf("package %s imports %s; it does no I/O", name, imp))
		}
	}
	for _, imp := range slices.Concat(p.Imports, p.TestImports) {
		if isOutside(imp) && !under(imp, anywhere) && !under(imp, r.outside) {
			found = append(found, fmt.Sprintf("package %s imports %s from outside; it may import: %s", name, imp, orNone(r.outside)))
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// ruleFor returns the rule of a package: its own, or the one with the longest name of
// those that end in a slash, which are for all packages below.
func ruleFor(name string) (rule, bool) {
	for ; name != ""; name = name[:strings.LastIndex(strings.TrimSuffix(name, "/"), "/")+1] {
		if r, ok := table[name]; ok {
			return r, true
		}
	}
	return rule{}, false
}

// isOutside says whether imp is neither ours nor of the standard library, whose
// paths begin with an element that has no dot.
func isOutside(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	return strings.Contains(first, ".") && !strings.HasPrefix(imp, module)
}

// under says whether imp is one of the paths, or below one.
func under(imp, paths string) bool {
	return slices.ContainsFunc(strings.Fields(paths), func(path string) bool {
		return imp == path || strings.HasPrefix(imp, path+"/")
	})
}

func orNone(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

func TestImports(t *testing.T) {
	pkgs, err := packages(".")
	if err != nil {
		t.Fatal(err)
	}
	if len(pkgs) < 10 {
		t.Errorf("found %d packages: that cannot be all", len(pkgs))
	}
	for _, p := range pkgs {
		for _, v := range violations(p) {
			t.Error(v)
		}
	}
	for _, s := range superfluous(pkgs) {
		t.Error(s)
	}
}

// superfluous returns what the table allows and nothing needs, in words: a table that
// says more than is true hides the next arrow that should not be there.
func superfluous(pkgs map[string]pkg) []string {
	var found []string
	for name, r := range table {
		if strings.HasSuffix(name, "/") {
			continue
		}
		p, ok := pkgs[module+name]
		if !ok {
			found = append(found, fmt.Sprintf("the import table has a package %s that does not exist", name))
			continue
		}
		for _, ours := range strings.Fields(r.ours) {
			if !slices.Contains(p.Imports, module+ours) {
				found = append(found, fmt.Sprintf("package %s may import our %s, and does not: take it off the import table", name, ours))
			}
		}
		for _, path := range strings.Fields(r.outside) {
			if !slices.ContainsFunc(slices.Concat(p.Imports, p.TestImports), func(imp string) bool { return under(imp, path) }) {
				found = append(found, fmt.Sprintf("package %s may import %s from outside, and does not: take it off the import table", name, path))
			}
		}
	}
	slices.Sort(found)
	return found
}

func TestSuperfluous(t *testing.T) {
	pkgs, err := packages(".")
	if err != nil {
		t.Fatal(err)
	}
	p := pkgs[module+"unixctl"]
	delete(pkgs, p.ImportPath)
	store := pkgs[module+"store/cluster"]
	store.Imports = slices.DeleteFunc(slices.Clone(store.Imports), func(imp string) bool { return imp == module+"pki" })
	pkgs[store.ImportPath] = store
	want := []string{"package store/cluster may import our pki, and does not: take it off the import table", "the import table has a package unixctl that does not exist"}
	if got := superfluous(pkgs); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// packages reads the imports of every package below root, except of nested
// modules. It reads them itself: go test would not notice that what go list says
// has changed since a result that it has cached.
func packages(root string) (map[string]pkg, error) {
	pkgs := map[string]pkg{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && skipped(path):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go" || filepath.Dir(path) == root:
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		name := module + filepath.ToSlash(filepath.Dir(path))
		p := pkgs[name]
		p.ImportPath = name
		for _, spec := range file.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if strings.HasSuffix(path, "_test.go") {
				p.TestImports = append(p.TestImports, imp)
			} else {
				p.Imports = append(p.Imports, imp)
			}
		}
		pkgs[name] = p
		return nil
	})
	return pkgs, err
}

// skipped says whether go ignores a directory, or it is another module's.
func skipped(dir string) bool {
	name := filepath.Base(dir)
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil || name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

func TestViolations(t *testing.T) {
	for _, c := range []struct {
		name string
		pkg  pkg
		want []string
	}{
		{"allowed", pkg{ImportPath: module + "store/cluster", Imports: []string{"os", module + "intent", "go.etcd.io/etcd/client/v3", "golang.org/x/sync/errgroup"}}, nil},
		{"our package out of order", pkg{ImportPath: module + "ovsdb", Imports: []string{module + "openflow/ofconn"}},
			[]string{"package ovsdb imports our openflow/ofconn; it may import: intent"}},
		{"a confined library elsewhere", pkg{ImportPath: module + "controller", Imports: []string{"github.com/ovn-kubernetes/libovsdb/client"}},
			[]string{"package controller imports github.com/ovn-kubernetes/libovsdb/client from outside; it may import: nothing"}},
		{"a confined library in a test", pkg{ImportPath: module + "hostnet", TestImports: []string{"github.com/urfave/cli/v2"}},
			[]string{"package hostnet imports github.com/urfave/cli/v2 from outside; it may import: " + netlink}},
		{"a library whose name only begins alike", pkg{ImportPath: module + "store/cluster", Imports: []string{"go.etcd.io/etcdlike"}},
			[]string{"package store/cluster imports go.etcd.io/etcdlike from outside; it may import: " + etcd + " " + raft + " " + bbolt + " go.uber.org/zap google.golang.org/grpc"}},
		{"our package in a test", pkg{ImportPath: module + "controller", TestImports: []string{module + "store"}}, nil},
		{"files in a package without", pkg{ImportPath: module + "pipeline", Imports: []string{"os"}},
			[]string{"package pipeline imports os; it does no I/O"}},
		{"a package nobody planned", pkg{ImportPath: module + "util"},
			[]string{"package util is not in the import table: say in deps_test.go and in docs/architecture.md what it may import"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := violations(c.pkg); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}
