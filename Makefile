# Run `make help` for what there is.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# Processes of the tests. Each takes its half, and trains what tests share once; one that is done takes over from the other.
JOBS   ?= 2
# Commands and sweeps: workers are spawned, and Hydra is as it comes.
UNPATCHED := tests/cli/test_cli_run.py tests/sweeps/test_sweep_processes.py \
	tests/sweeps/test_sweep_failures.py::test_a_divergence_is_its_own

.DEFAULT_GOAL := help
.PHONY: help demo sweep-demo test test-unpatched test-all lint format figures figures-quick defaults check crash-test bench bench-accept \
	profile clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(STAMP) ## install, run four methods on the embedded digits, draw test error against iteration
	$(BIN)/bnnbench run -m method=sgd,sgld,psgld,batchnorm_sgld name=demo threads=1
	$(BIN)/bnnbench plot results/demo --out results/demo/error.png --formats png
	@echo "The figure: $(CURDIR)/results/demo/error.png"

sweep-demo: $(STAMP) ## six methods, three seeds each, on the digits; their comparison and figure
	$(BIN)/bnnbench run -m method=sgd,sgld,psgld,batchnorm_sgld,vd,sparse_vd seed=0,1,2 name=sweep_demo threads=1
	$(BIN)/bnnbench compare results/sweep_demo --by method
	$(BIN)/bnnbench plot results/sweep_demo --out results/sweep_demo/error.png --formats png
	@echo "The figure: $(CURDIR)/results/sweep_demo/error.png"

test: $(STAMP) ## the fast tests; JOBS=2 processes share them
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

test-unpatched: $(STAMP) ## some of them without the shortcuts of tests/support/speed.py, as a user would run them
	BNNBENCH_TESTS_UNPATCHED=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(UNPATCHED)

test-all: $(STAMP) ## every test, the slow ones too
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m ''

lint: $(STAMP) ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## put style and format right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

figures: $(STAMP) ## the figures of papers, or FIG=psgld_a9a alone; `bnnbench ls figures` says what each costs
	$(BIN)/python -m bnnbench.paper $(FIG)

figures-quick: $(STAMP) ## the same at reduced budget, below results/quick: 10 minutes on 2 cores
	$(BIN)/python -m bnnbench.paper --quick $(FIG)

defaults: $(STAMP) ## every method on every dataset, as it comes, against a linear model; one to two hours on 2 cores
	$(BIN)/python -m bnnbench.defaults

check: $(STAMP) ## every sampler against exact laws and posteriors; what has moved since results/published/check.csv
	$(BIN)/bnnbench check --publish

crash-test: $(STAMP) ## kill runs at 100 random instants (or KILLS=20) and compare their numbers
	PYTHONPATH=tests $(BIN)/python -m support.crash --kills $(or $(KILLS),100)

bench: $(STAMP) ## what a step, a run, a command costs beside torch: 20 minutes on 2 cores; or DEVICE=cuda, 8 minutes
	$(BIN)/python -m bnnbench.bench $(if $(DEVICE),--device $(DEVICE)) $(if $(ONLY),$(addprefix --only ,$(ONLY)))

bench-accept: ## let what `make bench` has measured be the baseline of the next
	cp results/published/bench.csv results/published/bench_baseline.csv

profile: $(STAMP) ## where the time of a step goes: METHOD=sgld WITH="dataset=mnist threads=1"
	KINETO_LOG_LEVEL=99 $(BIN)/python -m bnnbench.bench.profile method=$(or $(METHOD),psgld) $(WITH)

clean: ## remove the environment and build products; results stay
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
