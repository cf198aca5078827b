# Kiln. `make help` lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
GO ?= go
export GOFLAGS ?= -buildvcs=false
APT := packaging/apt-get.sh
SOURCES := $(shell find . -name '*.go' -not -name '*_test.go' -not -path './static/node_modules/*' 2>/dev/null) go.mod $(wildcard static/dist/*) $(wildcard migrations/*.sql)

.PHONY: help run build dev test soak e2e bench lint verify generate deps generate-deps test-deps

help: ## what there is
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

run: deps build ## set up what is missing, build and start; prints the sign-in link
	@exec bin/kiln serve $(ARGS)

build: bin/kiln ## build bin/kiln

bin/kiln: $(SOURCES)
	@echo "building bin/kiln"
	@$(GO) build -o bin/kiln .

dev: deps ## start, and start again when a source changes
	@packaging/dev.sh $(ARGS)

deps:
	@$(APT) postgres python

generate-deps:
	@$(APT) postgres npm

test-deps: deps
	@$(APT) chromium curl npm

test: test-deps ## every test in its short form: unit, contract, client, browser
	@packaging/test.sh

e2e: test-deps ## the browser journeys alone, with their figures
	@$(GO) test -count=1 -timeout 15m -run 'Journey|Browser' -v ./e2e/...

soak: test-deps ## the long forms: race detector, fuzzing, kill and load tests
	@packaging/soak.sh

bench: build test-deps ## the figures of README's table, each ratio taken in one run
	@packaging/bench.sh

lint: ## gofmt, vet (also for macOS), staticcheck
	@packaging/lint.sh

generate: generate-deps ## write what is generated: templ pages, browser bundles, schema dump
	@packaging/generate.sh

verify: generate-deps ## prove that what is generated is up to date
	@packaging/verify.sh
