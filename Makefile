# One-word tasks. PYTHON chooses the interpreter that the virtual environment is made with.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint docs audit wheelhouse deb deb-arm64-check bench release home-assistant

demo: .venv/run.stamp
	$(BIN)/tremorscope demo

test: lint docs .venv/node-red.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

lint: .venv/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	shellcheck .ci/run systemd/*.sh systemd/debian/p*

# Every page where it stands in the repository, so that its links are the same there and here.
docs: .venv/test.stamp
	rm -rf build/pages
	mkdir -p build/pages
	git ls-files -z '*.md' '*.png' '*.svg' '*.jpg' | xargs -0 cp --parents -t build/pages
	$(BIN)/python -m typer tremorscope.py utils docs --name tremorscope --title Commands \
		--output build/pages/docs/commands.md
	$(BIN)/mkdocs build --strict

# Known vulnerabilities of the pinned packages; it needs an index that serves them, as pypi.org does.
audit: .venv/test.stamp
	$(BIN)/python -m pip install -q pip-audit
	$(BIN)/pip-audit --no-deps --disable-pip -r constraints.txt

bench: .venv/benchmark.stamp
	$(BIN)/python -m benchmarks.marks
	$(BIN)/python -m benchmarks.pipeline

# The Debian package. DEVICE_PYTHON: 3.11 is Debian 12's, 3.10 Ubuntu 22.04's (JetPack 6), 3.12 Ubuntu 24.04's
# (JetPack 7); MACHINE: x86_64 or aarch64.
DEVICE_PYTHON ?= 3.11
MACHINE ?= x86_64
WHEELHOUSE := work/wheelhouse/$(DEVICE_PYTHON)-$(MACHINE)
ARCHITECTURE := $(if $(filter aarch64,$(MACHINE)),arm64,amd64)

wheelhouse: $(WHEELHOUSE)

$(WHEELHOUSE): pyproject.toml constraints.txt systemd/wheelhouse.sh | .venv/bin/python
	$(BIN)/python -m uv --version || $(BIN)/python -m pip install -q -c constraints.txt uv
	PYTHON=$(BIN)/python systemd/wheelhouse.sh $@ $(DEVICE_PYTHON) $(MACHINE)

deb: $(WHEELHOUSE)
	PYTHON=$(BIN)/python systemd/deb.sh $< $(DEVICE_PYTHON) $(ARCHITECTURE)

# As root: the package on a 64-bit ARM, emulated, from the installation to the demo's end.
deb-arm64-check:
	$(MAKE) deb DEVICE_PYTHON=3.11 MACHINE=aarch64
	systemd/arm64_check.sh dist/tremorscope_*+py311_arm64.deb work/machines

# A real Home Assistant, whose package needs Python 3.13 and an environment of its own.
HOME_ASSISTANT_PYTHON ?= python3.13

home-assistant: .venv/test.stamp .venv/home-assistant.stamp
	OMP_NUM_THREADS=1 TREMORSCOPE_HOME_ASSISTANT=$(CURDIR)/.venv/home-assistant/bin/python \
		$(BIN)/python -m pytest tests/system/test_real_home_assistant.py

# After new weights in magnifier/released: everything that is made from them, hours on a few cores. Each
# step reads what those before it wrote; tests/magnifier/test_released.py fails for as long as one is missing.
RELEASED := $(sort $(basename $(notdir $(wildcard magnifier/released/*.safetensors))))
CALIBRATION_SCENES ?= 48
HELD_OUT_SCENES ?= 40
FINE_TUNING_STEPS ?= 1500
COMPARE ?= --classical

release: .venv/release.stamp
	test -e work/photographs || $(BIN)/tremorscope photographs
	rm -rf work/calibration work/heldout work/twofold-quantised
	$(BIN)/tremorscope scenes --write work/calibration --count $(CALIBRATION_SCENES) --training
	$(BIN)/tremorscope scenes --write work/heldout --count $(HELD_OUT_SCENES) --seed 4
	for each in $(RELEASED); do \
		$(BIN)/tremorscope quantize --model $$each --scenes work/calibration --out export/released || exit; \
	done
	rm -f export/released/*.golden.png
	$(BIN)/tremorscope export --out export/released
	$(BIN)/python -m benchmarks.picture
	for each in $(RELEASED); do \
		$(BIN)/tremorscope evaluate --model $$each --scenes work/heldout \
			--card magnifier/released/$$each.md || exit; \
	done
	$(BIN)/tremorscope train --quantised --start-from released --steps $(FINE_TUNING_STEPS) --seed 1
	$(BIN)/python -m benchmarks.precisions --scenes work/heldout \
		--fine-tuned work/twofold-quantised/twofold.safetensors
	$(BIN)/tremorscope compare --scenes work/heldout --out magnifier $(COMPARE)
	$(BIN)/python -m pytest -q tests/magnifier/test_released.py

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/run.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	touch $@

.venv/release.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[test,compare]'
	touch $@

.venv/benchmark.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[benchmark]'
	touch $@

.venv/home-assistant.stamp: tests/home_assistant/requirements.txt | .venv/bin/python
	$(HOME_ASSISTANT_PYTHON) -m venv .venv/home-assistant
	.venv/home-assistant/bin/pip install -q --ignore-requires-python -r $<
	touch $@

# Node-RED with the dashboard that its flow needs, for tests: 230 MB.
.venv/node-red.stamp: dashboards/node-red/package.json dashboards/node-red/package-lock.json | .venv/bin/python
	mkdir -p .venv/node-red
	cp $^ .venv/node-red/
	npm ci --prefix .venv/node-red --no-audit --no-fund --loglevel=error
	touch $@

.venv/test.stamp: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[test]'
	touch $@
