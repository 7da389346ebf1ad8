# On a machine with only Python 3.11+ and make: `make demo`, `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo demo-keys demo-local test check bench test-local-models test-resumption lowest clean

demo: .venv/ready
	$(BIN)/python examples/agents/support_desk.py

demo-keys: .venv/ready-keys
	$(BIN)/python examples/agents/support_desk.py --keys

demo-local: .venv/ready-local
	$(BIN)/python scripts/local_models get small large
	$(BIN)/python examples/agents/support_desk.py --local

test: .venv/ready
	$(BIN)/python -m pytest

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell src docs examples benchmarks scripts README.md CHANGELOG.md CONTRIBUTING.md
	$(BIN)/mypy
	$(BIN)/mypy tests --allow-untyped-defs --allow-incomplete-defs --allow-untyped-calls --allow-untyped-decorators \
		--no-warn-unused-ignores --disable-error-code arg-type --disable-error-code attr-defined \
		--disable-error-code dict-item --disable-error-code union-attr --disable-error-code var-annotated \
		--disable-error-code assignment --disable-error-code comparison-overlap \
		--disable-error-code func-returns-value
	$(BIN)/lint-imports

bench: .venv/ready
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/outage.py
	$(BIN)/python benchmarks/failures.py
	$(BIN)/python benchmarks/journal.py

# Every byte of every answer cut in every way, and 200 processes killed; some 20 minutes.
test-resumption: .venv/ready
	STEPROUTER_ALL_CUTS=1 STEPROUTER_ROUNDS=200 $(BIN)/python -m pytest -s \
		tests/contract/test_resumption_cuts.py tests/contract/test_crash_resume.py

test-local-models: .venv/ready-local
	$(BIN)/python scripts/local_models get small large
	STEPROUTER_LOCAL_MODELS=1 $(BIN)/python -m pytest -s tests/local_models

.venv/bin/uv:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

.venv/ready: pyproject.toml | .venv/bin/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[embedded,langchain]' --group test --group check
	@touch $@

.venv/ready-keys: .venv/ready
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[openai,anthropic,google]'
	@touch $@

.venv/ready-local: .venv/ready
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[local]'
	@touch $@

lowest: | .venv/bin/uv
	$(PYTHON) -m venv .venv-lowest
	$(BIN)/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --editable '.[embedded,langchain]' --group test
	.venv-lowest/bin/python -m pytest

clean:
	rm -rf .venv .venv-lowest dist .mypy_cache .ruff_cache .hypothesis
