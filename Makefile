# `make demo` and `make test` install all that they need. On a GPU box use `make demo ORT=gpu`.
ORT ?= cpu
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TRAINING := .venv-training
OPTIONS := install --quiet --disable-pip-version-check --constraint constraints.txt
INSTALL := $(BIN)/pip $(OPTIONS)

.PHONY: demo docs site test test-training check lint types layers coverage bench chaos wrong fuzz mutation peers soak screenshots \
	wheel release system-packages constraints locks sbom pin-images image arm64 clean

demo: $(VENV)/.demo-$(ORT)
	$(BIN)/edge-inspector demo $(ARGS)

# For machines without a checkout. The shipped models are in it.
wheel: $(VENV)/.dev-$(ORT)
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .

# `make test ARGS=tests/unit/test_ring.py` runs one file.
test: $(VENV)/.dev-$(ORT) system-packages peers
ifdef ARGS
	$(BIN)/pytest $(ARGS)
else
	sh tests/all.sh $(BIN)/pytest
endif

# The tests that train, in an environment of their own with PyTorch. `make test` skips them.
TRAINING_TESTS = $(shell grep -rl --include='test_*.py' '^ *needs_training()' tests)
test-training: $(TRAINING)/.dev-$(ORT)
	TRAINING_REQUIRED=1 $(TRAINING)/bin/pytest $(TRAINING_TESTS) $(ARGS)

# Exactly what CI runs.
check: lint types layers coverage site test test-training

lint: $(VENV)/.dev-$(ORT)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev-$(ORT)
	$(BIN)/mypy

layers: $(VENV)/.dev-$(ORT)
	$(BIN)/lint-imports

# These modules decide what the reject gate does, so fast tests must cover every branch of them.
DECIDING := inspection plc.ring plc.plausibility plc.ownership plc.reading plc.blocks plc.seal plc.word_order
DECIDING_TESTS := admission alarms areas basis blocks breach calibration challenge config control control_limits counter counter_watch decision \
	defects drift gate_watch line_figures line_watch mask_watch ownership picture picture_guard plausibility promise reading recipe ring scale_watch seal shots timeline tracking triggers \
	view web word_order
coverage: $(VENV)/.dev-$(ORT)
	$(BIN)/pytest --numprocesses 2 $(DECIDING_TESTS:%=tests/unit/test_%.py) $(DECIDING:%=--cov=edge_inspector.%) --cov-branch \
		--cov-fail-under=100 --cov-report=term-missing:skip-covered

# Faults on a running line, about 30 minutes. `make chaos ARGS="--only 147 --seed 11"` repeats one of them.
chaos: $(VENV)/.dev-$(ORT) system-packages
	$(BIN)/python -m benchmarks.chaos $(ARGS)

# Stations with one mistake each, about 15 minutes. Each must report its mistake.
# `make wrong ARGS="--only encoder"` runs some of them.
wrong: $(VENV)/.dev-$(ORT) system-packages
	$(BIN)/python -m benchmarks.wrong $(ARGS)

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
	$(INSTALL) --editable '.[$(ORT),demo,dev,charts]'
	touch $@

# It has torch for the CPU, if the package index offers that.
$(TRAINING)/.dev-$(ORT): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(TRAINING)
	$(TRAINING)/bin/pip $(OPTIONS) --editable '.[$(ORT),demo,dev,training]'
	touch $@

# Run it after a change of the dependencies. It writes down the newest versions that pyproject.toml allows.
# torch is raised by hand, to a version of which package indexes offer a build for the CPU. sed drops the "+cpu".
constraints:
	$(PYTHON) -m venv $(VENV)-constraints
	$(VENV)-constraints/bin/pip install --quiet '.[cpu,demo,dev,charts,training]' 'torch==2.13.0'
	$(VENV)-constraints/bin/pip freeze --exclude edge-inspector | grep -v '^edge-inspector' | sed 's/+.*//' > constraints.txt
	rm -rf $(VENV)-constraints

# Run it after `make constraints`. It writes down the hashes of all files that an installation may take.
LOCK_TOOL := pip-tools==7.6.2
locks: $(BIN)/pip
	$(PYTHON) -m venv $(VENV)-locks
	$(VENV)-locks/bin/pip install --quiet $(LOCK_TOOL)
	$(VENV)-locks/bin/pip-compile --quiet --generate-hashes --strip-extras --no-header --no-emit-index-url \
		--no-emit-options --no-annotate --extra cpu --extra modbus --extra signing --extra report --constraint constraints.txt \
		--output-file deploy/locks/cpu.new pyproject.toml
	{ head -1 deploy/locks/cpu.txt; cat deploy/locks/cpu.new; } > deploy/locks/cpu.lock
	mv deploy/locks/cpu.lock deploy/locks/cpu.txt
	echo "hatchling" | $(VENV)-locks/bin/pip-compile --quiet --generate-hashes --strip-extras --no-header \
		--no-emit-index-url --no-emit-options --no-annotate --constraint constraints.txt \
		--output-file deploy/locks/build.new -
	{ head -1 deploy/locks/build.txt; cat deploy/locks/build.new; } > deploy/locks/build.lock
	mv deploy/locks/build.lock deploy/locks/build.txt
	rm -rf $(VENV)-locks deploy/locks/cpu.new deploy/locks/build.new

# The software bill of materials of an installation from the lock file, as CycloneDX, in dist/sbom.json.
SBOM_TOOL := cyclonedx-bom==7.5.0
sbom: $(BIN)/pip
	$(PYTHON) -m venv $(VENV)-shipped
	$(VENV)-shipped/bin/pip install --quiet --require-hashes --requirement deploy/locks/cpu.txt
	$(VENV)-shipped/bin/pip install --quiet --no-deps .
	$(PYTHON) -m venv $(VENV)-sbom
	$(VENV)-sbom/bin/pip install --quiet $(SBOM_TOOL)
	mkdir -p dist
	$(VENV)-sbom/bin/cyclonedx-py environment --output-reproducible --of JSON -o dist/sbom.json $(VENV)-shipped/bin/python
	rm -rf $(VENV)-shipped $(VENV)-sbom

# A release that says who built it from what: wheel, source, hashes, bill of materials, signed. In dist/edge-inspector-VERSION.
# `make release KEY=release.key`. `edge-inspector sign --new --key release.key` makes the key.
release: $(VENV)/.dev-$(ORT) sbom
	$(BIN)/python deploy/release.py --key $(KEY) $(ARGS)

# Asks the registries which digests the images of deploy/containers have now, and writes them down. Needs Docker.
# `make pin-images ARGS=--check` only compares.
pin-images:
	$(PYTHON) deploy/containers/pin_images.py $(ARGS)

# The image on a machine without Docker, for its tests: `sudo make image`, `sudo make test ARGS=tests/system/test_image.py`.
image:
	sh deploy/containers/image.sh

# The image for aarch64, and a line in it, by emulation: 5 and 13 minutes on two cores, in the background. `sudo make arm64`.
arm64: $(VENV)/.dev-$(ORT)
	nice -n 19 sh deploy/containers/image.sh arm64
	nice -n 19 $(BIN)/pytest tests/system/test_arm64.py $(ARGS)

clean:
	rm -rf $(VENV) $(TRAINING) build dist site
