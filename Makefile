# Every command a contributor needs. Each one sets up .venv first; that takes no time when nothing changed.
PY := .venv/bin/python
TWOSTEP := .venv/bin/twostep
BOOT := $(shell command -v python3.11 || command -v python3)

.PHONY: setup demo test lint lock clean

setup:
	@test -n "$(BOOT)" || { echo "setup: needs CPython 3.11, found no Python. Debian 12: apt-get install python3.11" >&2; exit 1; }
	@$(BOOT) scripts/bootstrap.py $(if $(PYTHON),--python $(PYTHON))

demo: setup  ## a released two-step recommender on MovieLens-100K
	@$(TWOSTEP) data get movielens-100k
	@$(TWOSTEP) run examples/movielens-100k.yaml
	@$(TWOSTEP) recommend examples/movielens-100k.yaml --user 196

# Three workers: one for the tests that share fitted models, one for those that share a run of the DAG and mostly wait for
# it, one for all others.
test: setup  ## the whole test suite, side by side
	@$(PY) -m pytest tests -n 3 --dist loadscope

lint: setup  ## style and types
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

lock: setup  ## requirements.in -> requirements.lock, with hashes
	@.venv/tools/bin/uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_39 \
		--generate-hashes --no-emit-index-url --no-header requirements.in -o requirements.lock

clean:  ## everything that a run leaves in the checkout, but not .venv
	@rm -rf runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache
