# The list of commands. Each one sets up what it needs in $(VENV); nothing else is touched, but that test-all, aarch64
# and ci install Debian packages.

VENV   ?= .venv
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
TORCH  ?= torch==2.13.0
RTX    ?= $(if $(filter x86_64,$(shell uname -m)),tensorrt-rtx-cu13-libs==1.7.1.116 tensorrt-rtx-cu13-bindings==1.7.1.116)
# spandrel with what it needs beside torch. torchvision is left out: there is none for every build of torch, and only two
# networks that do not enlarge want it.
RIVALS ?= spandrel>=0.4 einops safetensors
DEBIAN ?= dcmtk dicom3tools orthanc orthanc-dicomweb ffmpeg chromium,chromium-browser libopenigtlink-dev
ACUTANCE_DATA ?= ../shared/data
PYTEST ?= -q --durations=10

export PIP_DISABLE_PIP_VERSION_CHECK = 1

# Where there is nvcc, demo and tests compile the kernels once, for 8.0, which newer GPUs translate; wheels take minutes
# more and hold every architecture.
export ACUTANCE_CUDA_ARCHITECTURES ?= 80

BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip install -qq
DONE    := $(VENV)/.done
SOURCES := pyproject.toml CMakeLists.txt README.md LICENSE \
	$(shell find csrc $(wildcard cmake) python export trt_engines bench -type f -not -name '*.pyc' -not -path '*/results/*')

.PHONY: help demo test test-all soak quality models speed lint wheel sanitize aarch64 rtx-packages rivals-packages clean

help:  ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*##/\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: $(DONE)/demo  ## enhance the example slices; pictures and DICOM files go to out/demo
	@$(BIN)/python examples/demo.py out/demo

test: $(DONE)/test  ## run the tests; what needs a missing tool is skipped with its name
	$(BIN)/pytest $(PYTEST)

test-all: $(DONE)/debian $(DONE)/all $(DONE)/rtx  ## install torch, TensorRT-RTX and the Debian tools, run the tests, allow no other skip than for hardware
	ACUTANCE_SLOW=1 $(BIN)/pytest $(PYTEST) --junitxml=build/test-all.xml
	$(BIN)/python tools/check_skips.py build/test-all.xml

soak: $(DONE)/debian $(DONE)/all  ## 10 minutes of pictures at 30 a second, 50 kills of the DICOM node; rewrite bench/results/soak-*
	$(BIN)/python -m acutance.bench.soak --json bench/results/soak-live.json --plot bench/results/soak-live.png
	ACUTANCE_SLOW=1 ACUTANCE_KILLS=50 ACUTANCE_KILLS_REPORT=bench/results/soak-dicom.json \
		$(BIN)/pytest $(PYTEST) tests/serve/dicom/node/test_kill.py

lint: $(DONE)/all  ## ruff, mypy, import-linter and clang-format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/clang-format --dry-run --Werror $(shell find csrc -name '*.h' -o -name '*.cpp' -o -name '*.cu')

wheel: export ACUTANCE_CUDA_ARCHITECTURES =
quality: $(DONE)/all  ## score every model on the test split of ACUTANCE_DATA; rewrite docs/quality.md, its pictures and the cards
	$(BIN)/acutance evaluate $(ACUTANCE_DATA) --split test --scale 2,3,4 --limit 10 -o docs/quality
	$(BIN)/python -m acutance.evaluate.volume $(ACUTANCE_DATA) --split test --side 64 -o docs/quality/volume.json
	$(BIN)/python -m acutance.evaluate.sequence $(ACUTANCE_DATA) --split test -o docs/quality/sequence.json
	$(BIN)/python -m acutance.evaluate.guided $(ACUTANCE_DATA) --split test -o docs/quality/guided.json
	$(BIN)/python -m acutance.evaluate.coverage $(ACUTANCE_DATA) --model mr-bal-x2-q --split test -o docs/quality/coverage.json
	$(BIN)/python -m acutance.evaluate.page docs/quality/quality.json -o docs/quality.md
	$(BIN)/python -m acutance.export.cards docs/models --quality docs/quality/quality.json --data $(ACUTANCE_DATA)

models: $(DONE)/all  ## make the fp16 and int8 files of every model anew from ACUTANCE_DATA, and the cards
	$(BIN)/python -m acutance.export.all python/acutance/models --cards docs/models --data $(ACUTANCE_DATA) \
		--quality docs/quality/quality.json

speed: $(DONE)/speed  ## time slices, frames and ops, beside what a user would take instead; rewrite docs/speed.md
	$(BIN)/acutance bench slice --json bench/results/slice-cpu.json
	$(BIN)/acutance bench kernels --json bench/results/kernels-cpu.json
	$(BIN)/acutance bench latency --backend onnxruntime --sizes 128,256,512 --warm-up 5 --seconds 6 --json bench/results/latency-cpu.json
	$(BIN)/acutance bench page $(addprefix bench/results/,slice-cpu.json latency-cpu.json kernels-cpu.json) -o docs/speed.md

wheel: $(DONE)/test  ## wheel and sdist in dist/
	$(BIN)/python -m build --no-isolation --wheel --outdir dist .
	$(BIN)/python -m build --no-isolation --sdist --outdir dist .

sanitize: $(DONE)/test  ## the CPU core under ASan and UBSan
	PATH="$(abspath $(BIN)):$$PATH" PYTHON=$(abspath $(BIN))/python sh csrc/sanitize.sh

aarch64: $(DONE)/test  ## cross-compile the CPU core for 64-bit Arm and check it under emulation
	bash tools/install_debian.sh g++-aarch64-linux-gnu qemu-user-static
	PATH="$(abspath $(BIN)):$$PATH" PYTHON=$(abspath $(BIN))/python sh csrc/check_aarch64.sh

clean:  ## remove what was built, the environment included
	rm -rf $(VENV) build dist out .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

# Set-up. The package is installed as a user gets it, not editable: tests, mypy and import-linter see the wheel's layout.
# Without build isolation the compiled objects stay valid, so that a change in Python costs seconds.

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "acutance needs Python 3.10 to 3.13; name one with PYTHON=" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(DONE)/build: $(BIN)/python pyproject.toml
	$(PIP) "scikit-build-core>=0.11" "pybind11>=2.13" cmake ninja
	@mkdir -p $(DONE) && touch $@

$(DONE)/demo: $(DONE)/build $(SOURCES)
	$(PIP) --no-build-isolation ".[evaluate]"
	@touch $@

$(DONE)/test: $(DONE)/build $(SOURCES)
	$(PIP) --no-build-isolation ".[evaluate,dev]"
	@touch $@ $(DONE)/demo

$(DONE)/torch: $(DONE)/build
	$(BIN)/python tools/install_torch.py $(TORCH)
	@touch $@

$(DONE)/all: $(DONE)/torch $(SOURCES)
	$(PIP) --no-build-isolation ".[evaluate,dev,data,train,export,uncertainty,serve]"
	$(PIP) --no-deps $(foreach package,$(RIVALS),"$(package)")
	@touch $@ $(DONE)/demo $(DONE)/test

# NVIDIA's proprietary runtime, which builds engines without a GPU; it is never redistributed.
$(DONE)/rtx: $(DONE)/build
	$(if $(RTX),$(PIP) $(RTX))
	@touch $@

rtx-packages:
	@echo $(RTX)

rivals-packages:
	@echo "$(RIVALS)"

$(DONE)/speed: $(DONE)/all
	$(PIP) "monai>=1.4" opencv-python-headless
	@touch $@

$(DONE)/debian: $(DONE)/build
	bash tools/install_debian.sh $(DEBIAN)
	@touch $@
