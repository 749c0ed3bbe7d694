# Every target does what it needs first: `make demo` and `make test` are enough on a
# machine with Python 3.11, 3.12 or 3.13 and make.

VENV ?= .venv
BIN := $(VENV)/bin
# The first of these that runs is the one: `python3.12` may be a stub of a version manager.
# Without a PYTHON, the environment that is there keeps its own.
FOUND := $(shell \
  for p in $(or $(PYTHON),$(BIN)/python python3.11 python3.12 python3.13 python3 python); do \
    $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
      2>/dev/null && echo $$p && break; \
  done)
version = $(if $(1),$(shell $(1) -c 'import sys; print(*sys.version_info[:2])' 2>/dev/null))
# With a PYTHON of another version it is made anew: no test runs on the old one.
ifneq ($(or $(call version,$(FOUND)),none),$(call version,$(BIN)/python))
NEW_VENV := $(FOUND) -m venv $(if $(wildcard $(VENV)/pyvenv.cfg),--clear )$(VENV)
.PHONY: $(VENV)/.installed
endif
# All that the commands use. What only tests use slows every start: TensorFlow imports it.
EXTRAS := train,build,export,heif,video,app
# The scenes, the dataset, the training run and the pictures of `make demo`.
DEMO_DIR ?= demo
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: install demo test test-slow lint bench constraints clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@test -n "$(FOUND)" || { \
	  echo "Python 3.11, 3.12 or 3.13 is needed and" \
	       "$(if $(PYTHON),PYTHON=$(PYTHON) is not one,none was found on PATH)." \
	       "Get one by 'uv python install 3.13' or 'pyenv install 3.13'" \
	       "and name it: make $(or $(MAKECMDGOALS),install) PYTHON=/path/to/python3.13"; \
	  exit 1; }
	$(NEW_VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $@

$(VENV)/.test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Tests of a file share what they build, so one process runs them all.
test: lint
	$(BIN)/python -m pytest -m 'not slow' -n 2 --dist loadfile --durations 10

test-slow: $(VENV)/.test
	$(BIN)/python -m pytest -m slow

demo: install
	$(BIN)/python demo.py --output_dir=$(DEMO_DIR)

bench: install $(VENV)/.bench
	$(BIN)/python -m pipeline.benchmark

$(VENV)/.bench: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	touch $@

# Re-resolves the pins for all extras together; run it when pyproject.toml changes.
# torch and torchvision stay until the benchmark has been run with newer ones. Newer
# backports-strenum is for Python 3.10 and older, which uv does not regard and pip does.
constraints: install
	$(BIN)/python -m pip install --quiet uv
	printf '%s\n' torch==2.14.1 torchvision==0.29.1 backports-strenum==1.2.8 | \
	  $(BIN)/uv pip compile pyproject.toml --all-extras --universal \
	  --python-version 3.11 --constraint - --no-annotate --no-header --quiet \
	  --output-file constraints.txt

clean:
	rm -rf $(VENV) build dist *.egg-info
