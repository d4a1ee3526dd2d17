# `make help` lists the targets. Each first runs scripts/bootstrap.sh, which installs missing dependencies.

BUN ?= $(CURDIR)/build/toolchain/bun
PREFIX ?= /usr/local
INSTALL ?= install
BIN := build/bin
VERSION := $(shell sed -n 's/^  "version": "\(.*\)",$$/\1/p' package.json)

.PHONY: help build embedded sdk check test test-kernels test-kvm test-containers test-ui lint format demo bench install uninstall clean torture

help:
	@printf '%s\n' \
	  'make build      $(BIN)/banger, bangerd and banger-vsock-agent' \
	  'make sdk        the npm package of the SDK, in build/sdk' \
	  'make check      format, types, dead code, repository rules and the unit tests' \
	  'make test       make check and all other tests, real boots included, except those below' \
	  'make test-kernels  compile Linux by every recipe, about an hour, and boot it' \
	  'make test-kvm   boot with KVM, real or emulated, in a machine' \
	  'make test-containers  podman, Docker and what they need, and shared directories, in machines' \
	  'make test-ui    the web UI in Chromium, with real machines' \
	  'make lint       format, types, dead code and repository rules' \
	  'make format     format the sources' \
	  'make torture    kill the daemon KILLS=500 times, cut the power CUTS=50 times, create and remove CYCLES=200 machines' \
	  'make demo       an end-to-end demo on this host, from kernel to ssh' \
	  'make bench      run the benchmarks, each as a ratio within one run' \
	  'make install    copy the programs to PREFIX (default /usr/local)' \
	  'make uninstall  remove them from there' \
	  'make clean      remove what was built (build/cache and build/toolchain stay)'

build:
	@sh scripts/bootstrap.sh build
	@$(MAKE) --no-print-directory embedded
	@$(BUN) scripts/build.ts

# Embedded in the program, so built first.
embedded:
	@mkdir -p $(BIN)
	@$(MAKE) -s --no-print-directory -C guest OUT=$(CURDIR)/$(BIN) VERSION=$(VERSION)
	@$(MAKE) -s --no-print-directory -C inflate OUT=$(CURDIR)/$(BIN)
	@$(MAKE) -s --no-print-directory -C jail OUT=$(CURDIR)/$(BIN)
	@$(MAKE) -s --no-print-directory -C share OUT=$(CURDIR)/$(BIN)
	@$(BUN) scripts/build-ui.ts

sdk:
	@sh scripts/bootstrap.sh build
	@$(BUN) scripts/package-sdk.ts

check:
	@sh scripts/bootstrap.sh build run test
	@$(MAKE) --no-print-directory embedded
	@$(BUN) scripts/test.ts lint unit

test:
	@sh scripts/bootstrap.sh build run test
	@$(MAKE) --no-print-directory build
	@$(BUN) scripts/test.ts

test-kernels:
	@sh scripts/bootstrap.sh build run test cross
	@$(MAKE) --no-print-directory build
	@BANGER_TEST_KERNELS=all $(BUN) scripts/test.ts test/host/kernel-recipes.test.ts test/e2e/kernel-round-trip.test.ts

test-kvm:
	@sh scripts/bootstrap.sh build run test
	@$(MAKE) --no-print-directory build
	@$(BUN) test ./test/kvm/nested.test.ts
	@$(BUN) scripts/test.ts test/e2e/vmm-conformance.test.ts

test-containers:
	@sh scripts/bootstrap.sh build run test
	@$(MAKE) --no-print-directory build
	@$(BUN) test ./test/containers

test-ui:
	@sh scripts/bootstrap.sh build run test ui
	@$(MAKE) --no-print-directory build
	@$(BUN) test ./test/ui

lint:
	@sh scripts/bootstrap.sh build
	@$(BUN) scripts/test.ts lint

format:
	@sh scripts/bootstrap.sh build
	@$(BUN) run --silent format

torture:
	@sh scripts/bootstrap.sh build run test
	@$(MAKE) --no-print-directory build
	@BANGER_TEST_ROOTLESS=all $(BUN) scripts/test.ts test/host/net-guests.test.ts test/host/net-ipv6.test.ts \
	  test/host/net-names.test.ts test/host/net-policy.test.ts test/host/net.test.ts test/host/net-trouble.test.ts
	@$(BUN) test ./test/torture
	@$(BUN) test/torture/kill-daemon.ts $(or $(KILLS),500) $(SEED)
	@$(BUN) test/torture/power-loss.ts $(or $(CUTS),50) $(SEED)
	@$(BUN) test/torture/cycles.ts $(or $(CYCLES),200)
	@$(BUN) test/torture/identities.ts $(or $(MACHINES),50)
	@$(BUN) test/torture/code-interpreter.ts

demo:
	@sh scripts/bootstrap.sh build run demo
	@$(BUN) scripts/demo.ts

bench:
	@sh scripts/bootstrap.sh build run test bench
	@$(MAKE) --no-print-directory build
	@$(BUN) bench/run.ts

# Never stripped: what strip takes for waste at the end of the file is the program.
install: build
	$(INSTALL) -d $(DESTDIR)$(PREFIX)/bin
	$(INSTALL) -m 755 $(BIN)/banger $(DESTDIR)$(PREFIX)/bin/banger
	ln -sf banger $(DESTDIR)$(PREFIX)/bin/bangerd

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/banger $(DESTDIR)$(PREFIX)/bin/bangerd

clean:
	rm -rf build/bin build/guest build/test build/sdk build/cli-*
