# scopeauth's commands. `make` alone lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Every module of the repository but the tools: found, so that none can be forgotten.
MODULES := $(sort $(patsubst %/go.mod,%,$(shell find . -name go.mod -not -path './.ci/*' -not -path './.tmp/*')))
BIN := $(CURDIR)/.tmp/bin

# How long the tests of a package, or a lint, may take before they count as hanging. It is
# no measure of speed: on a machine that is busy with something else all take many times longer.
PATIENCE := 60m

# -race needs cgo and a C compiler. CI sets REQUIRE_RACE=1 and fails without them.
HAVE_CC := $(shell command -v $$(go env CC) >/dev/null 2>&1 && echo yes)
ifeq ($(HAVE_CC),yes)
RACE := -race
export CGO_ENABLED := 1
endif

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F ':.*?## ' '{printf "  %-14s %s\n", $$1, $$2}'

.PHONY: test
test: race-or-say tools-or-say interop-or-say ## Run every module's tests, with -race where a C compiler is found, then the allocation tests without it
	@for m in $(MODULES); do echo "== tests of $$m $(RACE)"; (cd $$m && go test $(RACE) -timeout $(PATIENCE) ./...); done
	@echo "== allocation tests (without -race, which changes allocations)"
	@go test -v -run 'Alloc' -count=1 -timeout $(PATIENCE) $$(grep -rl --include='*_test.go' 'func Test[A-Za-z]*Alloc' interceptors | xargs -n1 dirname | sort -u | sed 's|^|./|')

.PHONY: race-or-say
race-or-say:
ifneq ($(HAVE_CC),yes)
	@echo "== no C compiler found: tests run WITHOUT -race (install gcc to have it)"
	@if [ -n "$${REQUIRE_RACE:-}" ]; then echo "REQUIRE_RACE is set: failing"; exit 1; fi
endif

.PHONY: tools-or-say
tools-or-say:
	@if [ ! -x $(BIN)/buf ]; then echo "== buf is not built: the test of docs/annotate.md is SKIPPED (make tools builds it)"; fi

.PHONY: interop-or-say
interop-or-say:
	@if [ ! -d interceptors/internal/interop/npm/node_modules ]; then echo "== npm's verifiers and OAuth clients are not installed: their tests are SKIPPED (npm ci in interceptors/internal/interop/npm)"; fi
	@if ! command -v aws >/dev/null || ! command -v curl >/dev/null; then echo "== aws or curl is not installed: the tests with the AWS CLI are SKIPPED"; fi
	@if [ ! -d examples/cognito/browser/node_modules ] || ! command -v chromium >/dev/null; then echo "== chromium or playwright-core is not installed: the test of the console is SKIPPED (npm ci in examples/cognito/browser)"; fi

.PHONY: tools
tools: ## Build the pinned tools of .ci/tools/go.mod into .tmp/bin
	@cd .ci/tools && GOBIN=$(BIN) go install tool

.PHONY: generate
generate: tools ## Regenerate gen/, and what tests need, from proto/
	@$(BIN)/buf generate
	@$(BIN)/buf generate --template interceptors/internal/interop/buf.gen.yaml --path proto/demo/echo

.PHONY: lint
lint: tools ## Lint the Go code of every module and the .proto files
	@for m in $(MODULES); do echo "== lint of $$m"; (cd $$m && $(BIN)/golangci-lint run --allow-serial-runners --timeout $(PATIENCE) --config $(CURDIR)/.golangci.yml ./...); done
	@$(BIN)/buf lint
	@$(BIN)/buf format --diff --exit-code

.PHONY: tidy-check
tidy-check: ## Fail if a go.mod or go.sum is not tidy
	@for m in $(MODULES); do echo "== go mod tidy -diff in $$m"; (cd $$m && go mod tidy -diff); done

.PHONY: breaking
breaking: tools ## Fail if a .proto file breaks callers of the version before (the last tag, or the first commit)
	@against=$$(git describe --tags --abbrev=0 2>/dev/null || git rev-list --max-parents=0 HEAD | tail -n 1); \
	if [ -z "$$against" ] || [ "$$(git rev-parse --is-shallow-repository)" = true ]; then echo "shallow clone: nothing to compare with"; \
	else echo "== buf breaking against $$against"; $(BIN)/buf breaking --against ".git#ref=$$against"; fi

.PHONY: bench-smoke
bench-smoke: ## Run each benchmark once, to see that it runs
	@for m in $(MODULES); do echo "== benchmarks of $$m"; (cd $$m && go test -run '^$$' -bench . -benchtime 1x -timeout $(PATIENCE) ./...); done

.PHONY: bench
bench: ## Run the benchmarks; compare two runs with .tmp/bin/benchstat
	@go test -run '^$$' -bench . -benchmem ./interceptors/...
	@cd interceptors/internal/bench && go test -run '^$$' -bench . -benchmem ./...

.PHONY: mutate
mutate: ## Switch each check of the server and the client side off in turn; keep in docs/mutants.md which test notices
	@go run ./interceptors/internal/mutate -o docs/mutants.md

.PHONY: mutate-list
mutate-list: ## Fail if an entry of the list of checks does not fit the code
	@go run ./interceptors/internal/mutate -list

.PHONY: soak
soak: ## Run the server side for 60 s under faults, floods and rotations, with each decision computed beforehand
	@go test $(RACE) -count=1 -timeout 10m -run '^TestSoak$$' -v ./interceptors/internal/soak -soak 60s

.PHONY: quickstart
quickstart: ## Run the demonstration on the embedded Cognito
	@go run ./examples/quickstart
