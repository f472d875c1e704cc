# Short names for the commands in CONTRIBUTING.md. Each works by itself.
BIN := .venv/bin

.PHONY: check test coverage faults ci

check:
	$(BIN)/ruff format .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test:
	$(BIN)/pytest -q -n auto

coverage:
	$(BIN)/pytest -q -n auto --cov=agentguard --cov-branch --cov-report=term-missing

faults:
	$(BIN)/python tests/planted_faults/run.py

ci:
	.ci/run
