# One screen: what a developer of corral types. `make demo` and `make test` do
# all the set-up they need on a fresh machine.
GO       ?= go
TOOLS    := $(GO) tool -modfile=tools.mod
CHDB     := node_modules/@chdb/lib-linux-x64-gnu/libchdb.so
FUZZTIME ?= 20s
ROUNDS   ?= 200
SEED     ?= 1
LANES    ?= 2

.PHONY: build test test-nats soak race lint fuzz bench microbench gates quality demo clickhouse

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o corral .

test: lint clickhouse gates
	CGO_ENABLED=0 $(GO) test -timeout 10m ./...

# Ratios that must hold within one run, whatever the machine: see bench/README.md.
gates:
	cd bench && $(GO) vet . && CGO_ENABLED=0 $(GO) test -timeout 10m .

# The failure stories of NATS on real servers, with the pack of rules alone; about
# a minute. They are part of `make test` too.
test-nats:
	$(GO) test -count=1 -timeout 8m ./test/nats ./internal/natspoll ./rules/pack

# The chaos harness: rounds in which everything that can fail does, from SEED on,
# each compared with a batch run; 200 take about a quarter of an hour on two cores.
# `make test` has a few.
soak: clickhouse
	$(GO) test -count=1 -timeout 3h -v -parallel=$(LANES) ./test/soak -soak.rounds=$(ROUNDS) -soak.seed=$(SEED) -soak.lanes=$(LANES)

race: clickhouse
	CGO_ENABLED=1 $(GO) test -race -timeout 20m ./...

lint:
	@out=$$($(TOOLS) gofumpt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	  if [ -n "$$out" ]; then echo "gofumpt would change:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(TOOLS) staticcheck ./...

# Every fuzz target of every package for FUZZTIME. Making an interesting input small
# may take longer than is left of that, which ends the run as if something was found.
fuzz:
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p 2>/dev/null | grep '^Fuzz'); do \
	    echo "== $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s $$p || exit 1; \
	  done; done

# The report bench/RESULTS.md: targets, measured figures, the machine's own limits
# and peers. About six minutes.
bench:
	cd bench && $(GO) run .

# Every benchmark of every package, with allocations; compare runs with benchstat.
microbench:
	$(GO) test -run '^$$' -bench . -benchmem -benchtime 1s ./...

# How well examples/trainticket finds the faults of a day whose faults are known:
# DATA has the logs and a fault list in Nezha's format.
quality: build
	@test -n "$(DATA)" || { echo "make quality DATA=DIRECTORY"; exit 1; }
	@$(GO) run ./internal/quality --corral ./corral $(DATA)

demo: build clickhouse
	./corral demo --once

# A real ClickHouse, as the library the tests and the demo start (about 190 MB).
clickhouse: $(CHDB)
$(CHDB):
	@command -v npm >/dev/null || { echo "npm is needed to fetch the ClickHouse library (Debian: apt-get install npm)"; exit 1; }
	npm install --no-save --no-package-lock --no-audit --no-fund --prefix . @chdb/lib-linux-x64-gnu@26.7.3-stable.1
