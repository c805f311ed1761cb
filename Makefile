# The two commands a newcomer needs are `make serve` and `make test`. The build itself is CMake's:
# see CMakePresets.json.

RELEASE := build/release
ASAN := build/asan
JOBS := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
CLANG_FORMAT := $(shell command -v clang-format-14 || echo clang-format)
C_FILES = $(shell find src include cli test fuzz examples bench -name node_modules -prune \
  -o -name '*.[ch]' -print 2>/dev/null)
NODE_MODULES := test/interop/node_modules
.DEFAULT_GOAL := help

.PHONY: serve
serve: build ## open a chat room on this machine and say how to enter it
	@./scripts/serve

.PHONY: test
test: $(ASAN)/build.ninja ## build with ASan and UBSan, run every test
	@./scripts/install-deps test
	@$(MAKE) --no-print-directory $(NODE_MODULES)/.package-lock.json
	@cmake --build $(ASAN)
	@ctest --test-dir $(ASAN) --output-on-failure -j$(JOBS)

.PHONY: build
build: $(RELEASE)/build.ninja ## build the library and the command: build/release
	@cmake --build $(RELEASE)

.PHONY: install
install: build ## install below PREFIX (/usr/local), or for packagers below DESTDIR
	@cmake --install $(RELEASE) --prefix $(or $(PREFIX),/usr/local)

.PHONY: deb
deb: ## build the Debian packages: build/deb
	@./scripts/install-deps deb
	@./scripts/deb build/deb

.PHONY: reference
reference: $(RELEASE)/build.ninja ## write the API reference: build/release/reference/index.html
	@./scripts/install-deps check
	@cmake --build $(RELEASE) --target reference

.PHONY: abi-record
abi-record: build ## record the library's binary interface: cmake/abi
	@./scripts/install-deps test
	@./scripts/abi record $(RELEASE)/libmultiserver.so

.PHONY: fuzz
fuzz: ## search for inputs that break a decoder, FUZZ_SECONDS long (600)
	@./scripts/fuzz $(or $(FUZZ_SECONDS),600)

.PHONY: coverage
coverage: ## run every test and print how many lines of each file they reach
	@./scripts/coverage

.PHONY: bench
bench: $(RELEASE)/build.ninja bench/node_modules/.package-lock.json ## measure it beside npm multiserver (some ten minutes)
	@cmake --build $(RELEASE) --target bench-ms
	@node bench/run.js

.PHONY: format
format: ## lay out every C file with clang-format 14
	@./scripts/install-deps check
	@$(CLANG_FORMAT) -i $(C_FILES)

.PHONY: check-format
check-format: ## say which C files are laid out otherwise, and fail
	@./scripts/install-deps check
	@$(CLANG_FORMAT) --dry-run -Werror $(C_FILES)

.PHONY: clean
clean: ## remove everything built or downloaded
	rm -rf build $(NODE_MODULES) bench/node_modules

.PHONY: help
help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

# CMake looks for the libraries when it configures, so they are installed before.
$(RELEASE)/build.ninja:
	@./scripts/install-deps build
	@cmake --preset release -DBUILD_TESTING=OFF

$(ASAN)/build.ninja:
	@./scripts/install-deps test
	@cmake --preset asan

bench/node_modules/.package-lock.json: bench/package-lock.json bench/package.json
	@./scripts/install-deps test
	@cd bench && npm ci --no-audit --no-fund
	@touch $@

# The npm peers of the interop tests. Without a network these are skipped by name, and the others
# run; MS_NO_SKIP=1 makes that a failure.
$(NODE_MODULES)/.package-lock.json: test/interop/package-lock.json test/interop/package.json
	@if (cd test/interop && npm ci --no-audit --no-fund); then touch $@; \
	elif [ "$$MS_NO_SKIP" = 1 ]; then exit 1; \
	else echo 'npm ci failed: the interop tests will be skipped.' >&2; fi
