# `make help` lists the targets. Two commands are enough on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
RLLIB := .venv-rllib
PY := $(VENV)/bin/python
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM := false
export PYTHONUNBUFFERED := 1
DATA ?=
SETS ?=
WORKERS ?= 2
# Files go to workers whole, in their order: a file's fixtures are whole trainings.
PYTEST := $(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all test-rllib lint bench bench-director bench-grpo level1 level2 reproduce-quick reproduce ablations reproduce-broken reproduce-meeting units hacking evaluate methods compare teams audit report check-sweeps check-rliable marl example-rllib nano nano-budget nano-world nano-report nano-sizes nano-verify nano-throughput pages golden lock clean

help:  ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(VENV)/.ready  ## install the locked versions into .venv (about 2 minutes, 2 GB)

# torch first: with it in place nothing else pulls a GPU build
$(VENV)/.ready: requirements.lock setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say which with: make PYTHON=python3.12"; exit 1; }
	@echo "Installing the locked versions into $(VENV): about 2 minutes, 2 GB."
	@test -x $(PY) || $(PYTHON) -m venv $(VENV) || { echo "venv is missing (Debian: apt-get install python3-venv)"; exit 1; }
	@echo "  1/3 torch" && $(PY) -m pip install -q --disable-pip-version-check "$$(grep '^torch==' requirements.lock)"
	@echo "  2/3 everything else" && $(PY) -m pip install -q --disable-pip-version-check -r requirements.lock
	@echo "  3/3 mascot_env" && $(PY) -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup  ## watch a conversation, train a Director, compare it (5 minutes after setup; DATA=PATH for real data)
	@$(PY) -m experiments.demo $(if $(DATA),--data "$(DATA)")

test: setup  ## the tests, two files at a time (18 minutes on 2 slow cores; WORKERS=4 on more)
	@echo "The test suite takes about 18 minutes on two slow cores; slower suites are in 'make test-all'."
	@$(PYTEST) -m "not slow"

test-all: setup  ## all tests, the slow ones too
	@$(PYTEST)

# An environment of its own: RLlib pins an older Gymnasium than requirements.lock holds.
$(RLLIB)/.ready: requirements-rllib.lock setup.cfg pyproject.toml
	@echo "Installing RLlib's locked versions into $(RLLIB): about 2 minutes, 2 GB."
	@test -x $(RLLIB)/bin/python || $(PYTHON) -m venv $(RLLIB)
	@$(RLLIB)/bin/python -m pip install -q --disable-pip-version-check "$$(grep '^torch==' requirements-rllib.lock)"
	@$(RLLIB)/bin/python -m pip install -q --disable-pip-version-check -r requirements-rllib.lock
	@$(RLLIB)/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

test-rllib: $(RLLIB)/.ready  ## RLlib trains on the act form, in an environment of its own (half a minute after its installation)
	@echo "RLlib on the act form: about half a minute."
	@$(RLLIB)/bin/python -m tests.rllib.rllib_act_form

example-rllib: $(RLLIB)/.ready  ## the worked RLlib example: two policies learn on the act form, before and after (2 minutes after its installation)
	@$(RLLIB)/bin/python -m examples.rllib_ppo

lint: setup  ## ruff, mypy on mascot_env, and the generated pages
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(PY) -m experiments.environment_pages --check
	@$(PY) -m experiments.readme --check

bench: setup  ## overhead of the environment, as ratios within one run (1 minute)
	@$(PY) -m experiments.benchmark

bench-director: setup  ## the claim behind the demo: 5 training seeds, paired intervals (6 minutes)
	@$(PY) -m experiments.bench_director

bench-grpo: setup  ## a GRPO step of level 1 beside TRL's own with a constant reward (1 minute)
	@$(PY) -m experiments.bench_grpo

level1: setup  ## MASCOT's first level on the nano grade: SFT, pairs, reward model, GRPO of each persona, controls, held-out figures; resumable
	@$(PY) -m experiments.level1

level2: setup  ## MASCOT's second level on the team of `make level1`: a Director by GRPO (paid by the judge; by its group reward model with --reward model); resumable
	@$(PY) -m experiments.level2

reproduce-quick: setup  ## both levels by turns, 3 seeds on support, and what they show on held-out scenarios (the README's table says what one takes; resumable)
	@$(PY) -m experiments.bilevel --seeds 3 --workers 3 --no-ablations --out runs/bilevel

ALL_METHODS = $(PY) -m experiments.evaluate --methods all --runs runs/bilevel --marl runs/marl --workers $(WORKERS) --out runs/methods
# A line of the claim that does not hold (exit code 1) stops nothing, and is what it ends with.
reproduce: setup  ## all training and evaluation: the same with 5 seeds (goes on from reproduce-quick), then marl and methods; resumable, each says what it took
	@$(PY) -m experiments.bilevel --seeds 5 --no-ablations --out runs/bilevel; lines=$$?; test $$lines -le 1 || exit $$lines; \
	  $(PY) -m experiments.marl && $(ALL_METHODS) && exit $$lines

ablations: setup  ## the same runs once more without one of the levels, and at the players' own sampling (goes on from reproduce); resumable
	@$(PY) -m experiments.bilevel --seeds 5 --out runs/bilevel

reproduce-broken: setup  ## the same, 3 seeds each, where 20 and 60 % of the SFT policy's data are broken (a seed takes less than one of reproduce); resumable
	@$(PY) -m experiments.bilevel --seeds 3 --broken 0.2 --ppo-steps 0 --no-ablations --out runs/bilevel-20
	@$(PY) -m experiments.bilevel --seeds 3 --broken 0.6 --ppo-steps 0 --no-ablations --out runs/bilevel-60

reproduce-meeting: setup  ## the same on the meeting domain, 3 seeds (a seed as long as one of reproduce, about); resumable
	@$(PY) -m experiments.bilevel --seeds 3 --domain meeting --no-ablations --out runs/bilevel-meeting

units: setup  ## what should the writing Director be trained on and paid by: decisions (by the judge, or by its reward model) or whole conversations? 5 seeds of each; resumable
	@$(PY) -m experiments.units

hacking: setup  ## is a judge with a planted bias caught, and is a clean run accused? 20 clean and 8 biased runs (two hours on two cores); resumable
	@$(PY) -m experiments.hacking --seed 200

evaluate: setup  ## every prompted baseline on the same scenarios, seeds and model, with paired intervals; resumable
	@$(PY) -m experiments.evaluate --workers $(WORKERS)

methods: setup  ## all baselines, the trained ones of `make reproduce` and `make marl` among them, 5 seeds: the paper's tables on the nano grade; resumable
	@$(ALL_METHODS)

compare: setup  ## what `make evaluate` played, pair by pair: wins, ties, Bradley-Terry strengths with intervals; resumable
	@$(PY) -m experiments.compare

TEAM_OF ?= $(FIRST_RUN)
FIRST_RUN = runs/bilevel/run-0
# Without a run of one's own the first of `make reproduce` is trained, which goes on from it.
teams: setup  ## the trained teams of a finished run (TEAM_OF=runs/bilevel/run-0, which is trained where it is not there) as folders that load by name: team:teams/mascot, team:teams/sft, team:teams/ppo-director
	@test "$(TEAM_OF)" != $(FIRST_RUN) || test -f $(FIRST_RUN)/figures.json || test -d teams/mascot -a -d teams/sft -a -d teams/ppo-director || { \
	  echo "$(FIRST_RUN) is not there: it is trained first (the README's table says what a run takes)"; \
	  $(PY) -m experiments.bilevel --seeds 1 --no-ablations --out runs/bilevel || exit $$?; }
	@for method in mascot sft $$(test ! -d $(TEAM_OF)/ppo || echo ppo-director); do \
	  if test -d teams/$$method; then echo "teams/$$method is there already and stays as it is: remove it to make it of $(TEAM_OF)"; \
	  else $(PY) -m experiments.team $(TEAM_OF) --method $$method --out teams/$$method || exit $$?; fi; done

AUDITED ?= nano nano-heldout
audit: setup  ## what the judges of the nano grade are worth: attacked, padded, asked again, and held against people's ratings (SETS=folder of the rated sets)
	@mkdir -p runs/audits; for judge in $(AUDITED); do \
	  $(VENV)/bin/mascot judge audit --judge $$judge $(if $(SETS),--data $(SETS)) --json > runs/audits/$$judge.tmp && mv runs/audits/$$judge.tmp runs/audits/$$judge.json \
	  && echo "runs/audits/$$judge.json: keep it with python -m experiments.readme --keep-audits" || exit 1; done

report: setup  ## runs as one page that opens from disk: tables, plots, conversations side by side (RUNS="runs/evaluate runs/bilevel" OUT=runs/report.html)
	@$(PY) -m experiments.report $(or $(RUNS),runs/evaluate) --out "$(or $(OUT),runs/report.html)"

# An environment that is thrown away: W&B's sweeps package pins numpy<2.
check-sweeps:  ## W&B's own schema accepts the shipped sweep files (a minute)
	@place="$$(mktemp -d)"; trap 'rm -rf "$$place"' EXIT; $(PYTHON) -m venv "$$place" \
	  && "$$place/bin/python" -m pip install -q --disable-pip-version-check sweeps==0.3.0 PyYAML && "$$place/bin/python" -W ignore experiments/sweeps/check_with_wandb.py

check-rliable: setup  ## our point estimates beside rliable's own, to 1e-6 (a minute)
	@place="$$(mktemp -d)"; trap 'rm -rf "$$place"' EXIT; $(VENV)/bin/pip install -q --disable-pip-version-check --no-deps --target "$$place" rliable==1.2.0 \
	  && PYTHONPATH="$$place:." $(VENV)/bin/python tests/metrics/check_with_rliable.py

marl: setup  ## teams by IPPO and MAPPO on the act form, 5 seeds, against random acts and the best fixed act per persona (about 70 minutes of a slow core's time; resumable)
	@$(PY) -m experiments.marl

nano-budget: setup  ## what the nano models will cost on this machine (4 minutes)
	@$(PY) -m experiments.nano.budget

nano: setup  ## make the nano models from nothing: corpora, training, packing; resumable (`make nano-budget` says how long)
	@$(PY) -m experiments.nano.build --pack

nano-report: setup  ## measure the nano models on held-out frames; write docs/results/nano.md and the cards' figures (TEXTS=PATH: other people's files to compare with)
	@$(PY) -m experiments.nano.report --cards --out docs/results/nano.md $(if $(TEXTS),--data "$(TEXTS)")

nano-sizes: setup  ## the base recipe at 0.5M, 2M and 5M, for the size study (experiments/sweeps/sizes.yaml; hours, resumable; not shipped)
	@$(PY) -m experiments.nano.sizes

nano-verify: setup  ## rebuild the nano models and hold their figures against the cards (hours, resumable)
	@$(PY) -m experiments.nano.verify

nano-throughput: setup  ## the local model against transformers' generate on one rollout's requests
	@$(PY) -m experiments.nano.throughput

nano-world: setup  ## count the language world and test its recogniser (half a minute; TEXTS=PATH: other people's files to compare with)
	@$(PY) -m experiments.nano.world_report --out docs/results/world.md $(if $(TEXTS),--data "$(TEXTS)")

pages: setup  ## rewrite the generated documentation
	@$(PY) -m experiments.environment_pages
	@$(PY) -m experiments.readme

golden: setup  ## rewrite the golden playthroughs, after a change of behaviour that is meant
	@$(PY) -m tests.envs.regenerate

lock:  ## write the lock files from what is installed now
	@for pair in $(VENV):requirements.lock $(RLLIB):requirements-rllib.lock; do \
	  python="$${pair%%:*}/bin/python"; file="$${pair##*:}"; test -x "$$python" || continue; \
	  (echo "# Exact versions that make installs from. Regenerate: make lock"; "$$python" -m pip freeze --exclude-editable --all \
	    | grep -vE '^(pip|mascot_env|-e) ?' | sed 's/+cpu//') > "$$file"; done

clean:  ## remove caches and build products (not runs, not .venv*)
	@rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
