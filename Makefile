# Every command that a contributor needs. Most set up .venv first, which takes no time when nothing changed.
PY := .venv/bin/python
TWOSTEP := .venv/bin/twostep
BOOT := $(shell command -v python3.11 || command -v python3)
HOOK = $(shell git rev-parse --git-path hooks 2>/dev/null)/pre-commit
ENGINE := $(shell command -v docker || command -v podman)
IMAGE ?= twostep:latest
KUSTOMIZE := sigs.k8s.io/kustomize/kustomize/v5@v5.7.1
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.7

.PHONY: help setup demo serve test test-engines lint lint-workflow lint-deploy lock wheel image docs hooks clean bench-quick
.DEFAULT_GOAL := help

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## set up .venv: the locked packages and this project; PYTHON=… names the CPython 3.11 to use
	@test -n "$(BOOT)" || { echo "setup: needs CPython 3.11, found no Python. Debian 12: apt-get install python3.11" >&2; exit 1; }
	@$(BOOT) scripts/bootstrap.py $(if $(PYTHON),--python $(PYTHON))

demo: setup  ## make a released two-step recommender of MovieLens-100K
	@$(TWOSTEP) data get movielens-100k
	@$(TWOSTEP) run examples/movielens-100k.yaml
	@$(TWOSTEP) recommend examples/movielens-100k.yaml --user 196

serve: setup  ## serve the release of `make demo` at http://127.0.0.1:8080
	@$(TWOSTEP) serve examples/movielens-100k.yaml

# Three workers: one for the tests that share fitted models, one for those that share a run of the DAG and mostly wait for
# it, one for all others.
test: setup  ## run all tests but those of tests/engines
	@$(PY) -m pytest tests/unit tests/contract tests/golden tests/e2e -n 3 --dist loadscope --durations=25

test-engines: setup  ## run the tests against real servers of objects; builds those that are missing, in minutes (needs Go)
	@$(PY) scripts/engines.py
	@$(PY) -m pytest tests/engines -n 2 --dist loadscope --durations=25

bench-quick: setup  ## check that no node became slower than at the commit before, or at BASE=…, in some four minutes
	@$(PY) benchmarks/quick.py $(if $(BASE),--base $(BASE))

lint: setup  ## check style and types
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

lint-workflow:  ## check the CI workflow with actionlint (needs Go)
	@command -v go >/dev/null || { echo "lint-workflow: needs Go to build actionlint, found none. Install Go." >&2; exit 1; }
	@go run $(ACTIONLINT) .github/workflows/*.yml

lint-deploy:  ## build the Kubernetes manifests of deploy/example with kustomize (needs Go), and print them
	@command -v go >/dev/null || { echo "lint-deploy: needs Go to build kustomize, found none. Install Go." >&2; exit 1; }
	@go run $(KUSTOMIZE) build deploy/example

lock: setup  ## make requirements.lock, with hashes, from requirements.in
	@.venv/tools/bin/uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_39 \
		--generate-hashes --no-emit-index-url --no-header requirements.in -o requirements.lock

wheel: setup  ## build the source distribution and the wheel into dist/
	@$(PY) -m build --no-isolation

image:  ## build the container image with docker or podman; IMAGE=… names it
	@test -n "$(ENGINE)" || { echo "image: needs docker or podman, found neither. Install one of them." >&2; exit 1; }
	@$(ENGINE) build --tag $(IMAGE) .

docs: setup  ## draw the packages in docs/architecture.md again, from the code
	@$(PY) scripts/architecture.py

hooks: setup  ## install a git hook that lints what is staged before each commit
	@test ! -e "$(HOOK)" || grep -q "git hook of twostep" "$(HOOK)" || { echo "hooks: $(HOOK) is another hook. Move it away." >&2; exit 1; }
	@install -D -m 755 scripts/pre-commit "$(HOOK)"

clean:  ## delete what runs, tests and builds leave in the checkout, but not .venv
	@rm -rf runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
