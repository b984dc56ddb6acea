# make            what a reviewer runs: build, lint, test
# make help       every target with its one line
#
# Only Go, make and (for what needs other people's programs) apt-get with root
# or sudo are expected; every tool is pinned under packaging/tools.

GO      ?= go
DATA    ?= data
LISTEN  ?= localhost:5000
# Of the first of three nodes.
PORT    ?= 5001
FUZZTIME ?= 1m
SUMMARY ?= bin/summary
BENCH   ?=
# make chaos: how long, the seed of its faults (default a random one), and among how many nodes.
CHAOS   ?= 1h
SEED    ?=
NODES   ?= 3
# JSON=-json makes the test targets report events, which test/tally counts.
JSON    ?=

DEV      = $$(packaging/tools/install packaging/tools)
CLIENTS  = $$(packaging/tools/install packaging/tools/clients)
# Without the discovery of scrape targets, which is most of it and checks no rule.
PROMTOOL = $$(packaging/tools/unpack prometheus)
# What Debian packages bring: a compiler for the race detector, the clients,
# leave for ordinary users to mount the disk whose power is cut, and an ACME
# server.
RACE     = gcc=gcc /usr/include/stdlib.h=libc6-dev
DEBIAN   = skopeo=skopeo podman=podman buildah=buildah ctr=containerd zstd=zstd
FUSE     = fusermount3=fuse3
NETNS    = ip=iproute2 iptables=iptables
ACME     = pebble=pebble pebble-challtestsrv=pebble
PACKAGE  = debootstrap=debootstrap lintian=lintian rpm=rpm rpmlint=rpmlint systemd-analyze=systemd man=man-db \
           mandoc=mandoc zsh=zsh fish=fish skopeo=skopeo podman=podman runc=runc \
           ip=iproute2 nsenter=util-linux qemu-aarch64=qemu-user
DIST     = $(GO) run -C packaging/build -buildvcs=false . -root ../..
# What unpacks a system must be root; everything is built before, by whoever runs make.
ASROOT   = $(if $(filter 0,$(shell id -u)),,-exec 'sudo -E')
# The same with the programs of PATH.
AMONGROOT = $(if $(filter 0,$(shell id -u)),,-exec "sudo -E env PATH=$$PATH")
VERSION ?=
# The object stores that test/storage runs.
STORES   = $$(packaging/tools/install test/storage/servers):$$(packaging/tools/npm test/storage/azurite)
NODE     = node=nodejs npm=npm skopeo=skopeo
# Google's storage client without its other protocol, which nothing here speaks: 12 MB.
SMALLER  = disable_grpc_modules
E2E      = $(GO) test -buildvcs=false $(JSON) -count=1

.DEFAULT_GOAL := check
.PHONY: help check build run cluster-demo test packages tools unit race lint fmt vuln fuzz bench bench-peers bench-cluster conformance clients acme storage alerts crash cluster chaos dist image packaging clean

check: build lint unit ## everything a change must pass, without other people's programs

build: ## the static binary, bin/skerry, reproducible
	CGO_ENABLED=0 $(GO) build -buildvcs=false -tags $(SMALLER) -trimpath -ldflags='-s -w' -o bin/skerry .

run: build ## build, and serve https://localhost:5000 with its data under ./data
	bin/skerry serve --data $(DATA) --listen $(LISTEN)

cluster-demo: build ## build, and serve one registry by three nodes on 127.0.0.1:5001 to 5003, with data under ./data/demo
	@packaging/demo/cluster bin/skerry $(DATA)/demo $(PORT)

test: build ## everything: installs what it needs, runs every test, ends with "N passed, N failed"
	@mkdir -p $(dir $(SUMMARY))
	$(GO) run -buildvcs=false ./test/tally -summary $(SUMMARY) packages unit+tools lint conformance clients+acme storage alerts crash cluster packaging

packages: ## the Debian packages that tests need, if they are missing
	@packaging/tools/packages $(RACE) $(DEBIAN) $(FUSE) $(ACME) $(NETNS) $(NODE) $(PACKAGE)

tools: ## the pinned Go tools, built once and kept in ~/.cache/skerry-tools
	@packaging/tools/install packaging/tools
	@packaging/tools/install packaging/tools/clients
	@packaging/tools/install test/storage/servers
	@packaging/tools/unpack prometheus

unit: ## unit tests under the race detector, ladder and tidy included
	@packaging/tools/packages $(RACE)
	CGO_ENABLED=1 $(GO) test -buildvcs=false $(JSON) -race -shuffle=on -timeout 15m ./...

race: ## unit tests under the race detector, three times
	@packaging/tools/packages $(RACE)
	CGO_ENABLED=1 $(GO) test -buildvcs=false -race -shuffle=on -count=3 -timeout 30m ./...

lint: ## vet, gofumpt and the linters of .golangci.yml; no fixes, only findings
	bin=$(DEV) && $$bin/golangci-lint run --allow-parallel-runners --timeout 20m && \
	cd packaging/build && $$bin/golangci-lint run --allow-parallel-runners --timeout 20m

fmt: ## rewrite the files as lint wants them formatted
	bin=$(DEV) && $$bin/golangci-lint fmt

vuln: ## known vulnerabilities that our code reaches (asks vuln.go.dev)
	@bin=$(DEV) && $$bin/govulncheck ./...

fuzz: ## every fuzz target for a minute each (FUZZTIME)
	@$(GO) list ./... | while read -r p; do \
	  $(GO) test -list '^Fuzz' $$p | grep ^Fuzz | while read -r f; do \
	    $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; done || exit 1; done

bench: ## compare Go benchmarks with the commit BASE (default main)
	@bin=$(DEV) && PATH="$$bin:$$PATH" packaging/tools/benchcmp $(or $(BASE),main)

bench-peers: build ## the same work against Skerry and distribution's own registry, as a table
	$(GO) run -buildvcs=false ./test/bench $(BENCH)

bench-cluster: build ## the same work against three nodes and against one, as a table
	$(GO) run -buildvcs=false ./test/bench -cluster $(BENCH)

conformance: build ## the OCI distribution specification, section by section, against bin/skerry
	$(E2E) -tags conformance -timeout 15m ./test/conformance

clients: build ## skopeo, podman, buildah, ctr, crane, regctl, helm, cosign and oras-go against bin/skerry
	@packaging/tools/packages $(DEBIAN)
	bin=$(CLIENTS) && PATH="$$bin:$$PATH" $(E2E) -tags clients -timeout 20m ./test/clients

cluster: build ## several nodes in network namespaces: lose, cut, pause and replace them, with clients between them; chaos
	@packaging/tools/packages $(DEBIAN) $(NETNS)
	bin=$(CLIENTS) && export PATH="$$bin:$$PATH" && $(E2E) $(AMONGROOT) -tags cluster -timeout 30m ./test/cluster

alerts: ## alert rules, that they fire and when, and the dashboard's queries, by promtool
	bin=$(PROMTOOL) && PATH="$$bin:$$PATH" $(E2E) -tags alerts ./test/alerts

acme: build ## certificates from a real ACME server, and what happens without it
	@packaging/tools/packages $(ACME)
	$(E2E) -tags acme -timeout 10m ./test/acme

storage: build ## blobs in S3, Google Cloud Storage and Azure, as versitygw, fake-gcs-server and Azurite serve them
	@packaging/tools/packages $(NODE)
	stores=$(STORES) && PATH="$$stores:$$PATH" $(E2E) -tags storage -timeout 20m ./test/storage

crash: build ## kill it, or cut its power, at the worst instants and look at what is left
	@packaging/tools/packages $(FUSE)
	$(E2E) -tags crash -timeout 30m ./test/crash/...

chaos: build ## an hour of chaos (CHAOS) among three nodes (NODES); it tells its SEED, to repeat it
	@packaging/tools/packages $(NETNS)
	CHAOS=$(CHAOS) SEED=$(SEED) NODES=$(NODES) $(E2E) $(ASROOT) -v -tags cluster -run 'TestChaos$$' -timeout 0 ./test/cluster

dist: ## deb and rpm for amd64 and arm64, and SHA256SUMS, in dist/ (VERSION, else git describe)
	@rm -f dist/*.deb dist/*.rpm
	$(DIST) -out ../../dist -version '$(VERSION)' packages

image: ## the image for both architectures as an OCI layout, dist/image (VERSION)
	$(DIST) -out ../../dist -version '$(VERSION)' image

packaging: build ## installs the packages on a Debian root, runs the image, checks unit, manual and completions
	@packaging/tools/packages $(PACKAGE)
	@rm -rf bin/packaging
	$(DIST) -out ../../bin/packaging/new -version 1.2.4 packages image
	$(DIST) -out ../../bin/packaging/again -version 1.2.4 packages image
	$(DIST) -out ../../bin/packaging/old -version 1.2.3 -arch $$($(GO) env GOARCH) packages
	cd packaging/build && $(E2E) ./...
	root=$$(packaging/tools/debian) && \
	SKERRY_DEBIAN=$$root $(E2E) $(ASROOT) -tags packaging -timeout 10m ./test/packaging

clean: ## what build, dist and run made; the data of make run stays
	rm -rf bin dist

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
