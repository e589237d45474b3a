# make help lists what there is to make.

GO      ?= go
# make unit RACE= does without the race detector, in half the time.
RACE    ?= -race
FUZZTIME ?= 10s
ROUNDS  ?= 5
# The flags' library makes manual pages, too, for which each start of a command would pay.
TAGS    := urfave_cli_no_docs

# All but the race detector does without cgo, so that what one target has compiled is there for
# the next.
export CGO_ENABLED := 0

# Where make install puts things, below DESTDIR.
PREFIX  ?= /usr/local
UNITDIR ?= /etc/systemd/system

# Labs need root. As another user, sudo runs what the user has built.
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo -E env PATH=$(PATH))
EXEC    := $(if $(AS_ROOT),-exec '$(AS_ROOT)')

# The folders whose tests need labs: all, one, or those with a test that T matches.
LABS = $(if $(DIR),$(DIR),$(shell scripts/lab.sh folders $(if $(T),'$(T)')))
# Everything but those; what takes longest is begun first.
UNIT = $(shell $(GO) list ./store/cluster ./underlay ./ovsdb ./openflow/ofconn ./... | grep -vE "/integration/($$(scripts/lab.sh folders | paste -sd '|'))\$$")

# One after the other: the first failure is to be the last thing said.
.NOTPARALLEL:
.PHONY: help build install uninstall test unit lint lab peers kernel-lab faults demo playground bench microbench fuzz man generate check-generated setup clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build ovloom and ovloomd into bin/
	$(GO) build -tags $(TAGS) -o bin/ ./cmd/ovloom ./cmd/ovloomd

man: build ## write manual pages into bin/man
	mkdir -p bin/man
	bin/ovloom man bin/man

# Not after build: root may have no Go, and bin/ should stay its maker's.
install: ## copy the programs, a systemd unit and an example configuration to where they belong; PREFIX, UNITDIR, DESTDIR
	@[ -x bin/ovloomd ] || { echo "install: bin/ is empty; run first: make build" >&2; exit 1; }
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/bin bin/ovloom bin/ovloomd
	install -d $(DESTDIR)$(UNITDIR) $(DESTDIR)/etc/ovloom $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	sed 's|^ExecStart=/usr/local/bin/|ExecStart=$(PREFIX)/bin/|' packaging/ovloomd.service > $(DESTDIR)$(UNITDIR)/ovloomd.service
	bin/ovloom completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/ovloom
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	bin/ovloom man $(DESTDIR)$(PREFIX)/share/man/man1
	[ -e $(DESTDIR)/etc/ovloom/ovloomd.yaml ] || install -m 644 packaging/ovloomd.yaml $(DESTDIR)/etc/ovloom/

uninstall: ## remove what install copied; configuration and state stay
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/bin/,ovloom ovloomd) $(DESTDIR)$(UNITDIR)/ovloomd.service
	rm -f $(DESTDIR)$(PREFIX)/share/bash-completion/completions/ovloom $(DESTDIR)$(PREFIX)/share/man/man1/ovloom.1 $(DESTDIR)$(PREFIX)/share/man/man1/ovloom-*.1

test: setup lint check-generated unit peers lab ## install what is missing, then everything below that checks (needs root or sudo)

setup: ## install by apt what building and testing needs and this machine has not
	scripts/setup.sh test

lint: ## gofmt, go vet, staticcheck, shellcheck
	scripts/lint.sh

unit: ## test all packages, without labs; RACE= without the race detector
	$(if $(RACE),CGO_ENABLED=1) $(GO) test $(RACE) $(EXEC) -timeout 10m $(UNIT)

peers: ## test against other OpenFlow codecs, in a module of their own
	cd integration/peers && $(GO) test $(EXEC) -timeout 5m ./...

lab: build ## test on real Open vSwitch hosts, two labs side by side; T=NAME for one, DIR=nat for a folder, LAB_KEEP=1 keeps what fails
	$(GO) test -c -ldflags=-s -o bin/labs/ $(addprefix ./integration/,$(LABS))
	@OVLOOM_BIN=$(CURDIR)/bin $(if $(T),$(AS_ROOT) scripts/lab.sh only $(CURDIR)/bin/labs '$(T)' $(LABS), \
		LAB_PATIENCE=$(or $(LAB_PATIENCE),2) $(AS_ROOT) scripts/lab.sh run $(CURDIR)/bin/labs 2 $(LABS))

kernel-lab: ## test on Linux's own datapath, in an emulated machine with Debian's kernel, which takes long; T=NAME for some
	scripts/kernel-lab.sh $(if $(T),'$(T)')

faults: build ## random faults in a lab, hands in the switch included; SEED=N replays, TIME=10m makes it longer
	OVLOOM_BIN=$(CURDIR)/bin FAULT_SEED=$(SEED) FAULT_TIME=$(TIME) $(GO) test -count=1 -timeout 0 $(EXEC) -v -run '^TestRandomFaults$$' ./integration/faults/

demo: ## two tenants on three hosts and the internet, shown in a minute; installs what it needs, LAB_KEEP=1 leaves the hosts standing
	@echo "demo: installs with apt-get what is missing (Open vSwitch, iproute2, ping and the like; no service is"
	@echo "demo: started), builds ovloom into bin/, and shows it on hosts and an internet made of network namespaces."
	scripts/setup.sh demo
	$(MAKE) --no-print-directory build
	$(GO) build -o bin/ ./integration/cmd/demo
	@OVLOOM_BIN=$(CURDIR)/bin $(AS_ROOT) bin/demo

playground: ## three hosts and an internet to try ovloom on, with nothing in the overlay yet; make clean removes them
	scripts/setup.sh demo
	$(MAKE) --no-print-directory build
	$(GO) build -o bin/ ./integration/cmd/demo
	@OVLOOM_BIN=$(CURDIR)/bin $(AS_ROOT) bin/demo playground

bench: ## measure ovloom beside OVN and other tools, in one table; ROWS=install,stall for some rows, ROUNDS=1 for a quick look
	scripts/setup.sh bench
	$(MAKE) --no-print-directory build
	$(GO) build -o bin/ ./integration/cmd/bench
	@OVLOOM_BIN=$(CURDIR)/bin $(AS_ROOT) bin/bench -rows '$(ROWS)' -rounds $(ROUNDS) -o bin/bench.md

microbench: ## run the benchmarks of the packages, and of other OpenFlow codecs
	$(GO) test -run '^$$' -bench . -benchmem $(UNIT)
	cd integration/peers && $(GO) test -run '^$$' -bench . -benchmem ./...

fuzz: ## fuzz everything that parses bytes from outside, FUZZTIME each
	scripts/fuzz.sh $(FUZZTIME)

generate: ## regenerate what go generate makes
	$(GO) generate ./...

check-generated: ## fail if something generated is out of date
	scripts/check-generated.sh

clean: ## remove bin/ and what labs left, kept ones included
	rm -rf bin
	$(GO) build -o bin/labsweep ./integration/cmd/labsweep
	$(AS_ROOT) bin/labsweep
	rm -rf bin
