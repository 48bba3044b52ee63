# `make demo` and `make test` install all that they need. On a GPU box use `make demo ORT=gpu`.
ORT ?= cpu
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo docs site test check lint types layers coverage bench chaos wrong fuzz mutation peers soak screenshots \
	system-packages constraints clean

demo: $(VENV)/.demo-$(ORT)
	$(BIN)/edge-inspector demo $(ARGS)

test: $(VENV)/.dev-$(ORT) system-packages peers
	$(BIN)/pytest $(ARGS)

# Exactly what CI runs.
check: lint types layers coverage site test

lint: $(VENV)/.dev-$(ORT)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev-$(ORT)
	$(BIN)/mypy

layers: $(VENV)/.dev-$(ORT)
	$(BIN)/lint-imports

# These modules decide what the reject gate does, so fast tests must cover every branch of them.
DECIDING := inspection plcs.ring plcs.plausibility plcs.ownership plcs.reading encoders.counter encoders.timeline s7.blocks \
	s7.seal s7.word_order
DECIDING_TESTS := admission alarms basis blocks config control counter counter_watch decision defects drift gate_watch line_figures \
	line_watch mask_watch ownership picture picture_guard plausibility reading recipe ring scale_watch seal timeline tracking triggers \
	view word_order
coverage: $(VENV)/.dev-$(ORT)
	$(BIN)/pytest $(DECIDING_TESTS:%=tests/unit/test_%.py) $(DECIDING:%=--cov=edge_inspector.%) --cov-branch \
		--cov-fail-under=100 --cov-report=term-missing:skip-covered

# Faults on a running line, about 30 minutes. `make chaos ARGS="--only 147 --seed 11"` repeats one of them.
chaos: $(VENV)/.dev-$(ORT) system-packages
	$(BIN)/python -m edge_inspector.simulation.chaos $(ARGS)

# Stations with one mistake each, about 15 minutes. Each must report its mistake.
# `make wrong ARGS="--only encoder"` runs some of them.
wrong: $(VENV)/.dev-$(ORT) system-packages
	$(BIN)/python -m edge_inspector.simulation.wrong $(ARGS)

# A million hostile inputs, about half an hour. Guided by coverage if atheris can be installed.
fuzz: $(VENV)/.dev-$(ORT)
	-$(BIN)/pip install --quiet --disable-pip-version-check atheris==3.0.0
	$(BIN)/python benchmarks/fuzz.py $(ARGS)

# Puts wrong lines into the code that decides verdicts. At least 90 % must fail a test. About 40 minutes.
mutation: $(VENV)/.dev-$(ORT)
	$(INSTALL) mutmut==3.8.1
	$(BIN)/mutmut run --max-children 2
	$(BIN)/mutmut export-cicd-stats
	$(BIN)/python benchmarks/mutation_score.py

# An S7 server and client by other authors. Without them, the tests that need them are skipped.
peers:
	@sh tests/peers/install.sh

# About 35 minutes on an idle machine. `make bench ARGS="throughput --seconds 6"` runs one benchmark.
bench: $(VENV)/.dev-$(ORT)
	$(BIN)/edge-inspector bench --out benchmarks/results --budgets benchmarks/budgets.toml $(ARGS)
	$(BIN)/python benchmarks/plot.py benchmarks/results

soak: $(VENV)/.dev-$(ORT)
	$(BIN)/python benchmarks/soak.py --report benchmarks/results/soak.json $(ARGS)

docs: $(VENV)/.dev-$(ORT)
	$(BIN)/python docs/generate.py

# docs/ as a site with search, in site/. To read it: python3 -m http.server --bind 127.0.0.1 --directory site
# Not with --quiet, because mkdocs does not count hidden warnings.
site: $(VENV)/.dev-$(ORT)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Takes the pictures of the operator page in docs/images, with the demo line and a headless Chromium.
screenshots: $(VENV)/.dev-$(ORT) system-packages
	$(BIN)/python docs/screenshots.py

# Only some tests need them. If they cannot be installed, these tests are skipped with the reason.
system-packages:
	@sh deploy/system-packages.sh

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo-$(ORT): $(BIN)/pip pyproject.toml constraints.txt
	$(INSTALL) --editable '.[$(ORT),demo]'
	touch $@

$(VENV)/.dev-$(ORT): $(BIN)/pip pyproject.toml constraints.txt
	$(INSTALL) --editable '.[$(ORT),demo,dev]'
	touch $@

# Run it after a change of the dependencies. It writes down the newest versions that pyproject.toml allows.
constraints:
	$(PYTHON) -m venv $(VENV)-constraints
	$(VENV)-constraints/bin/pip install --quiet '.[cpu,demo,dev]'
	$(VENV)-constraints/bin/pip freeze --exclude edge-inspector | grep -v '^edge-inspector' > constraints.txt
	rm -rf $(VENV)-constraints

clean:
	rm -rf $(VENV) build dist site
