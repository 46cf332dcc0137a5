# What people run: `make demo` and `make test`. Each installs what it lacks first.

VENV := .venv
BIN := $(VENV)/bin
NOVA := .venv-nova

.PHONY: demo test lint servers clean
# Two installations at once would fight for the same locks.
.NOTPARALLEL:

demo: $(VENV)/.base
	$(BIN)/python -m tools.demo

test: servers $(VENV)/.test $(NOVA)/.done
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile
	$(MAKE) lint

lint: $(VENV)/.test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# MariaDB and PostgreSQL, whose programs the tests start themselves.
servers:
	tools/install-packages mariadb-server postgresql

$(VENV)/.base: pyproject.toml tools/install-venv tools/install-packages
	tools/install-venv $(VENV) base

$(VENV)/.test: pyproject.toml tools/install-venv tools/install-packages
	tools/install-venv $(VENV) test

$(NOVA)/.done: tools/install-nova
	tools/install-nova $(NOVA)

clean:
	rm -rf $(VENV) $(NOVA) .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
