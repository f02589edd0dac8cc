# Fiftycells: `make serve` and `make test` do all of it on a fresh machine.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: env system serve test lint messages bench clean

env: system .venv/ready

# Programs the tests and benchmarks start: a real Redis, a real PostgreSQL, a real browser.
PROGRAMS := curl:curl jq:jq redis-server:redis-server chromium:chromium pg_dropcluster:postgresql
system:
	@missing=""; for pair in $(PROGRAMS); do \
	  command -v $${pair%%:*} >/dev/null || missing="$$missing $${pair##*:}"; done; \
	if [ -n "$$missing" ]; then \
	  echo "Installing$$missing"; \
	  sudo=$$([ "$$(id -u)" = 0 ] || echo sudo); \
	  $$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq $$missing >/dev/null \
	  || echo "Could not install$$missing. The server runs without; tests and benchmarks need them."; fi

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@

serve: env
	@$(BIN)/fiftycells serve

# Tests that start servers and workers need all cores; the others share them.
PROCESSES := tests/test_carriers.py tests/test_benchmarks.py tests/rest/test_sending.py tests/rest/test_docs.py tests/ml/test_pretrain.py
test: env
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses=auto --dist=loadfile $(addprefix --ignore=,$(PROCESSES))
	$(BIN)/pytest $(PROCESSES)

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/djlint templates --lint --quiet
	$(BIN)/codespell app workers templates static/js static/css tests benchmarks docs README.md
	@scratch=$$(mktemp -d) && export FIFTYCELLS_DATA_DIR=$$scratch \
	  && $(BIN)/alembic upgrade head && $(BIN)/alembic check; status=$$?; rm -r $$scratch; exit $$status

# Brings the catalogues up to date with the texts in the code; `make messages LANGUAGE=fr` begins a new one.
EXTRACT := --mapping pyproject.toml --add-location file --sort-by-file --no-wrap --keyword N_ --keyword BadImage --keyword Refused --omit-header
messages: env
	@texts=$$(mktemp) && touch app/locales/$(or $(LANGUAGE),de).po \
	  && $(BIN)/pybabel --quiet extract $(EXTRACT) --output $$texts app workers templates static/js \
	  && for file in app/locales/*.po; do $(BIN)/pybabel --quiet update --input-file $$texts --output-file $$file \
	    --locale $$(basename $$file .po | tr - _) --no-fuzzy-matching --ignore-obsolete --no-wrap --ignore-pot-creation-date \
	    || exit 1; done; status=$$?; rm $$texts; exit $$status

BENCHMARKS := embed ingest loop grid replay map fields slides scanner drift
bench: env
	@for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python -m benchmarks.$$name || exit 1; done

clean:
	rm -rf .venv *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
