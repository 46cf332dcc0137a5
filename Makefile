# What people run: `make demo` and `make test`. Each installs what it lacks first.

VENV := .venv
BIN := $(VENV)/bin
NOVA := .venv-nova
STEIN := .venv-nova-19
NEWER := .servers

.PHONY: demo test newer lowest upgrade-job side-by-side reliability mutants docs links pictures lint servers hosts bench bench-quick peers clean
# Two installations at once would fight for the same locks.
.NOTPARALLEL:

# Else each of the thousands of processes of the tests would compile what it imports.
unexport PYTHONDONTWRITEBYTECODE

demo: $(VENV)/.base
	$(BIN)/python -m tools.demo

test: export TESTED := $(CURDIR)/$(VENV)/tested.txt
test: servers hosts $(VENV)/.test $(NOVA)/.done $(STEIN)/.done
	rm -f $(TESTED)
	$(BIN)/python -m pytest --numprocesses 6 --dist loadfile --no-loadscope-reorder
	$(MAKE) lint docs newer lowest
	@cat $(TESTED)

# Promises that may depend on the release of a server: outcomes, resuming, races, proof,
# throttling, grants, errors. The servers are tested at the same time.
newer: servers $(VENV)/.test
	echo mysql9 mariadb11 postgresql18 | xargs -n 1 -P 3 \
		$(BIN)/python -m pytest --quiet --numprocesses 2 --dist loadfile \
			tests/promises/test_map_one_cell.py tests/promises/test_grants.py \
			tests/promises/test_least_rights.py tests/promises/test_oracle.py \
			tests/promises/test_primary_keys.py \
			tests/promises/test_resume.py tests/promises/test_two_runs.py \
			tests/faults/test_super_read_only.py \
			tests/unit/bookkeeping/test_revision.py \
			tests/unit/cell/test_throttle_replicas.py \
			tests/unit/copying/test_outcomes.py \
			tests/unit/databases/test_caching_sha2.py \
			tests/unit/databases/test_collations.py \
			tests/unit/databases/test_refused_connections.py \
			tests/unit/databases/test_session_state.py \
			--backend

# The lowest versions that pyproject.toml allows, and every Python that the machine has.
lowest: servers $(VENV)/.test
	PATH="$(CURDIR)/$(BIN):$$PATH" tools/test-lowest

# Clouds that two releases of nova build, upgraded and then asked about by nova.
upgrade-job: servers $(VENV)/.test $(NOVA)/.done $(STEIN)/.done
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile tests/upgrade_job

# The tables of docs/side-by-side.rst, measured again.
side-by-side: servers $(VENV)/.test $(NOVA)/.done $(STEIN)/.done
	WRITE_TABLES=1 $(BIN)/python -m pytest tests/upgrade_job -k side_by_side

# The table of docs/reliability.rst, measured again: faults in earnest.
reliability: servers $(VENV)/.test
	WRITE_TABLES=1 $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --thorough \
		tests/faults tests/interleavings
	WRITE_TABLES=1 $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --thorough \
		--backend mysql9 tests/interleavings

# The figures of docs/mutants.rst, measured again: hours, and it continues where it stopped.
mutants: servers $(VENV)/.test
	$(BIN)/python -m tools.mutants map tests/unit tests/promises
	$(BIN)/python -m tools.mutants run --jobs 2
	for server in mysql postgresql; do \
		$(BIN)/python -m tools.mutants map --backend $$server \
			tests/unit/bookkeeping tests/unit/comparing tests/unit/copying \
			tests/unit/databases && \
		$(BIN)/python -m tools.mutants run --backend $$server --again --jobs 2 \
		|| exit; \
	done
	$(BIN)/python -m tools.mutants report

SPHINX := $(BIN)/python -m sphinx --fail-on-warning --nitpicky --quiet \
	--doctree-dir docs/_build/.doctrees

# The figure of the rooms, the pages of docs/ as a web site in docs/_build, and the man pages
# that the wheel has.
docs: $(VENV)/.test
	$(BIN)/python -m tools.architecture docs/architecture.svg
	$(SPHINX) docs docs/_build
	$(SPHINX) --builder man docs docs/man

# Asks the hosts of all links to other sites.
links: $(VENV)/.test
	$(SPHINX) --builder linkcheck docs docs/_build/links

# The terminal and the report that README.rst shows.
pictures: hosts $(VENV)/.test
	$(BIN)/python -m tools.pictures docs/terminal.svg
	$(BIN)/python -m tools.screenshot docs/report.png

lint: $(VENV)/.test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# Half an hour or a whole one, alone on the machine. README.rst shows the chart.
bench: peers
	$(BIN)/python -m benchmarks --rows 1000000 --memory-rows 100000 1000000 4000000 \
		--write benchmarks/results.json
	$(BIN)/python -m benchmarks.chart benchmarks/results.json benchmarks/results.svg

# Two minutes; the start of a process counts for much in so small a cell.
bench-quick: peers
	$(BIN)/python -m benchmarks --rows 100000 --repeats 1 --nova-rows 1000

# What is measured beside this project.
peers: servers $(VENV)/.bench $(NOVA)/.done
	tools/install-packages percona-toolkit

# MariaDB, Galera, HAProxy, PostgreSQL and PgBouncer, whose programs the tests start themselves,
# and newer servers and Pythons in a folder of their own.
servers: $(NEWER)/.done
	tools/install-packages mariadb-server galera-4 haproxy postgresql pgbouncer

# What a host has that packages and deployment tools work on, for the tests of contrib/, and
# a browser for the page of `cellmap report`.
hosts:
	tools/install-packages dash debconf systemd util-linux chromium chromium-driver \
		prometheus prometheus-node-exporter

$(NEWER)/.done: tools/install-servers
	tools/install-servers $(NEWER)

$(VENV)/.base: pyproject.toml tools/install-venv tools/install-packages
	tools/install-venv $(VENV) base

$(VENV)/.test: pyproject.toml tools/install-venv tools/install-packages
	tools/install-venv $(VENV) test

$(VENV)/.bench: pyproject.toml tools/install-venv tools/install-packages
	tools/install-venv $(VENV) bench

$(NOVA)/.done: tools/install-nova | $(VENV)/.test
	PATH="$(CURDIR)/$(BIN):$$PATH" tools/install-nova $(NOVA) 34.0.0

$(STEIN)/.done: tools/install-nova tools/nova-19.txt | $(VENV)/.test
	PATH="$(CURDIR)/$(BIN):$$PATH" tools/install-nova $(STEIN) 19.3.2

clean:
	rm -rf "$$(readlink -f .servers)"
	rm -rf .venv .venv-* .servers .mutants .mypy_cache .pytest_cache .ruff_cache .hypothesis dist \
		docs/_build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
