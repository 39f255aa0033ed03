# Everything runs from a clean checkout with Go and make. CI runs `make test`.

GO       ?= go
PROGRAMS := ./cmd/licet ./cmd/licet-central
SIGNER   := ./cmd/licet-signer
PACKAGES ?= ./...

# The race detector watches all Go code but the SQLite library, which is C turned
# into Go: watching its memory takes most of the time and can find nothing of ours.
RACE := -race -gcflags='modernc.org/...=-race=false'

# Long tests that do one thing after the other. What they use is watched by the race
# detector in the tests of many at once (races, contention, whole, console, portal),
# and they are too, in the long run.
UNWATCHED := /(internal/(audit|explore|registry|scenarios|verify)|seal|seats)$$

# The product is built without cgo. Only licet-signer, for tokens, and the race
# detector need a C compiler.
STATIC := CGO_ENABLED=0

.DEFAULT_GOAL := build
.PHONY: build signer demo image deps check fmt vet staticcheck cross test test-fast test-long bench generate look clean

build: ## static programs in bin/
	$(STATIC) $(GO) build -trimpath -ldflags "-s -w" -o bin/ $(PROGRAMS)

signer: ## licet-signer in bin/; with a C compiler, for PKCS#11 tokens
	CGO_ENABLED=1 $(GO) build -trimpath -ldflags "-s -w" -o bin/ $(SIGNER)

demo: ## the main job from start to end, each step printed
	$(GO) run ./cmd/licet-central demo

image: build ## a container image of the server, with buildah, podman or docker
	$(firstword $(wildcard /usr/bin/podman /usr/bin/buildah) docker) build -f deploy/Containerfile -t licet-central .

deps: ## what the tests need besides Go (PostgreSQL, a C compiler, a browser)
	@./scripts/deps.sh

fmt: ## fails if a file is not formatted
	@out="$$(gofmt -l $$(find . -name '*.go' -not -path './bin/*' -not -path './.git/*'))"; \
	if [ -n "$$out" ]; then echo "not formatted (run gofmt -w):"; echo "$$out"; exit 1; fi

vet:
	$(GO) vet $(PACKAGES)

# The tools have a module of their own, so that they never raise the product's versions.
staticcheck:
	$(GO) tool -modfile=tools/go.mod staticcheck $(PACKAGES)

cross: ## the machine program also compiles for systems it is not tested on, and the signer without cgo
	$(STATIC) $(GO) build -trimpath -o /dev/null $(SIGNER)
	$(STATIC) GOOS=windows GOARCH=amd64 $(GO) build ./cmd/licet ./sdk
	$(STATIC) GOOS=darwin GOARCH=arm64 $(GO) build ./cmd/licet ./sdk

check: fmt vet staticcheck build cross

test: deps check ## everything CI runs; check has vetted the tests too
	@failed=0; set -x; \
	$(GO) test $(RACE) -vet=off -timeout 25m $$($(GO) list $(PACKAGES) | grep -vE '$(UNWATCHED)') || failed=1; \
	$(GO) test -vet=off -timeout 25m $$($(GO) list $(PACKAGES) | grep -E '$(UNWATCHED)') || failed=1; \
	exit $$failed

test-fast: ## while you work: no race detector, nothing installed
	$(GO) test $(PACKAGES)

test-long: deps ## many more random runs; tests that read LICET_TEST_LONG=1 go further too
	LICET_TEST_LONG=1 RAPID_CHECKS=$${RAPID_CHECKS:-5000} $(GO) test $(RACE) -count=1 -timeout 2h $(PACKAGES)

bench: ## how fast it is beside the work that nobody can avoid: the table of docs/performance.md
	$(GO) run ./internal/speed $(SPEED)

generate: ## generated code and pages; a test fails when they are stale
	$(GO) generate $(PACKAGES)

look: generate ## the one stylesheet of all pages; needs npm, which nothing else does
	./scripts/look.sh

clean:
	rm -rf bin coverage
