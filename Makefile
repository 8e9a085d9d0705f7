# Build, test and demonstrate amtscs. `make` alone builds and tests.
# Everything below needs Go and make; what a target needs beyond them it says.

GO        ?= go
TAGS      ?= nobadger,nomysql,nopgx
BIN       := bin
PROGRAMS  := scsd scsctl amtsim
PKGS      := ./...
TOOL      := $(GO) tool -modfile=tools/go.mod
FUZZTIME  ?= 20s

export GOFLAGS := -tags=$(TAGS)
export CGO_ENABLED ?= 0

.PHONY: all build test race bench fuzz lint proto proto-check demo clean tidy-check

all: build test

build:
	@mkdir -p $(BIN)
	$(GO) build -trimpath -ldflags '-s -w' -o $(BIN)/ $(PROGRAMS:%=./cmd/%)

# The tests run with the race detector where a C compiler is found.
test:
	@if [ "$$($(GO) env GOOS)" = linux ] && command -v "$$($(GO) env CC)" >/dev/null 2>&1; then \
		echo "test: with the race detector"; \
		CGO_ENABLED=1 $(GO) test -race -timeout 25m $(PKGS); \
	else \
		echo "test: no C compiler found, so without the race detector (install gcc to have it)"; \
		$(GO) test -timeout 25m $(PKGS); \
	fi

race:
	CGO_ENABLED=1 $(GO) test -race -timeout 25m $(PKGS)

# Figures as ratios against a baseline in the same run: see docs/measurements.md.
bench:
	$(GO) test -run '^$$' -bench . -benchmem $(PKGS)
	$(GO) run ./bench

fuzz:
	@$(GO) list $(PKGS) | while read -r p; do \
		$(GO) test -list '^Fuzz' "$$p" | grep '^Fuzz' | while read -r f; do \
			echo "fuzz: $$p $$f"; \
			$(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) "$$p" || exit 1; \
		done || exit 1; \
	done

lint:
	$(GO) vet $(PKGS)
	$(TOOL) gofumpt -l . | grep -v '\.pb\.go$$' | (! grep .)
	$(TOOL) staticcheck -tags $(TAGS) $(PKGS)
	$(TOOL) buf lint

proto:
	$(TOOL) buf generate
	$(TOOL) buf format -w

# Fails when the committed generated code is not what the .proto files give.
proto-check:
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && \
	$(TOOL) buf generate -o "$$tmp" && \
	for f in $$(cd "$$tmp" && find . -name '*.go'); do \
		cmp -s "$$tmp/$$f" "$$f" || { echo "proto-check: $$f is not current: run make proto"; exit 1; }; \
	done && echo "proto-check: generated code is current"

demo: build
	@$(GO) run ./integration/demo -bin $(BIN)

clean:
	rm -rf $(BIN)
