# The commands of the README. Each one sets up what it needs, once.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export BENTOML_DO_NOT_TRACK := true
# Where this is set, every process that is started would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help up setup docs train bentos test test-fast test-all screenshots check format bench-services load bench bench-ordinary bench-peers bench-analysis bench-costs bench-costs-against faults stats-proof kills bentos-test requirements images images-test netns attacks

help:            ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 20

# Anything that changes what is installed makes this file stale.
$(VENV)/.installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Ekiben needs Python 3.11: install it, or name one with make PYTHON=…"; exit 1; }
	@echo "Setting up $(VENV): about two minutes the first time"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -c constraints.txt -e '.[local,torch,traces,dev]'
	@touch $@

setup: $(VENV)/.installed  ## create .venv and install, once

up: setup        ## everything on this machine: Redis, three versions, the router, a demo
	@$(BIN)/ekiben up

train: setup     ## train and publish the versions, print how they compare
	@$(BIN)/ekiben train

bentos: setup    ## build a Bento for each version, the router and the controller
	@$(BIN)/python -m deploy.bentos

bentos-test: setup  ## serve each Bento from a clean venv of its own requirements; minutes, gigabytes with torch
	@EKIBEN_BENTOS_TEST=1 $(BIN)/pytest tests/bentos -q $(ARGS)

requirements: setup  ## lock what each Bento installs again, after a change of constraints.txt
	@$(BIN)/python -m deploy.requirements

images: bentos   ## container images, with Docker or buildah; ARGS='router credit-v1' for some
	@$(BIN)/python -m deploy.images $(ARGS)

images-test: setup  ## run the images under the security settings of the Kubernetes manifests (root, runc)
	@EKIBEN_IMAGES_TEST=1 $(BIN)/pytest tests/images -q $(ARGS)

# axe-core, for the dashboard's tests, where npm is; without it they are skipped with the reason.
AXE := tests/control/dashboard/node_modules/.package-lock.json
$(AXE): tests/control/dashboard/package-lock.json
	@if command -v npm >/dev/null; then \
		npm ci --prefix tests/control/dashboard --no-audit --no-fund --ignore-scripts --silent && touch $@ || true; fi

# tests/conftest.py has the scopes. Much of a test's time is waiting: there may be more processes than cores.
TEST_PROCESSES ?= 3
PYTEST = $(BIN)/pytest --numprocesses=$(TEST_PROCESSES) --dist=loadscope $(ARGS)
# The store's models are trained once and not by all.
MODELS = $${BENTOML_HOME:-$$HOME/bentoml}/models

test-fast: setup  ## the tests that start no process: less than a minute, for every commit
	@$(BIN)/pytest --fast --numprocesses=auto --dist=worksteal --quiet -rfE $(ARGS)

test: setup $(AXE)  ## all tests; TEST_PROCESSES=0 runs them one after the other, ARGS='-k breaker' some
	@test -f $(MODELS)/credit_v3/latest || $(BIN)/ekiben train
	@$(PYTEST)

# What only `make test-all` needs. Java cannot be installed with pip.
$(VENV)/.installed-all: $(VENV)/.installed
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar on -c constraints.txt -e '.[spark]'
	@touch $@

test-all: setup $(VENV)/.installed-all $(AXE)  ## all tests but `images-test` and `bentos-test`; needs Java, Chromium, Prometheus, npm and curl
	@for program in java chromium prometheus npm curl; do command -v $$program >/dev/null || { \
		echo "make test-all needs $$program (Debian: apt install default-jre-headless chromium prometheus npm curl)"; exit 1; }; done
	@test -f $(MODELS)/credit_v3/latest || $(BIN)/ekiben train
	@EKIBEN_TEST_ALL=1 $(PYTEST)

docs: setup      ## docs/experiments-file.md and its JSON Schema, from the types that check the file
	@$(BIN)/python -m tests.docs.experiments_file

screenshots: setup  ## the dashboard in docs/images; ARGS='--url http://127.0.0.1:3100' for one that runs
	@$(BIN)/python -m tests.control.dashboard.screenshots $(ARGS)

check: setup     ## ruff, mypy strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup    ## let ruff fix what it can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: setup     ## the router beside the service called directly: req/s, latency, memory
	@$(BIN)/python -m loadtests.bench $(ARGS)

bench-ordinary: setup  ## BentoML services that know nothing of Ekiben, behind the router and called directly
	@$(BIN)/python -m loadtests.bench.ordinary $(ARGS)

bench-peers: setup  ## the same beside nginx, Envoy, MLServer and LitServe
	@$(BIN)/python -m loadtests.bench.peers $(ARGS)

bench-analysis: setup  ## a report over 10,000,000 exposures: seconds and memory
	@$(BIN)/python -m loadtests.bench.analysis $(ARGS)

bench-costs: setup  ## CPU time and bytes of a request in each part; writes docs/scaling.md
	@$(BIN)/python -m loadtests.bench.costs

REVISION ?= HEAD~1
bench-costs-against: setup  ## the CPU of a request beside that at REVISION, both running; as root; writes docs/benchmarks.md
	@$(BIN)/python -m loadtests.bench.costs.against $(REVISION) $(ARGS)

bench-services: setup  ## what a model call costs in each service
	@$(BIN)/python -m loadtests.bench_services

# What `make load` takes: SHAPE, PROCESSES, ROUTER_URL, and any option of loadtests/README.md as ARGS.
SHAPE ?= ramp
PROCESSES ?= 1
ROUTER_URL ?= http://127.0.0.1:3000
ARGS ?=
LOAD_WORKERS := $(if $(filter-out 1,$(PROCESSES)),--processes $(PROCESSES) --master-bind-host 127.0.0.1)

load: setup      ## load test ROUTER_URL: SHAPE=ramp|spike|soak|steps PROCESSES=2 ARGS='--peak-users 50'
	@$(BIN)/locust -f loadtests/locustfile.py --headless --host $(ROUTER_URL) --shape $(SHAPE) $(LOAD_WORKERS) \
		--csv loadtests/reports/$(SHAPE) --html loadtests/reports/$(SHAPE).html $(ARGS)

attacks: setup   ## attack a running installation; writes docs/reliability.md; ARGS='A2 --all' for some
	@$(BIN)/python -m tests.proofs.attacks $(ARGS)

netns: setup     ## the same between hosts: network namespaces, as root; writes docs/reliability.md
	@$(BIN)/python -m tests.proofs.netns

stats-proof: setup  ## simulate experiments through the statistics; writes docs/statistics.md
	@$(BIN)/python -m tests.proofs.statistics $(ARGS)

faults: setup    ## break everything once, under load; writes docs/reliability.md
	@$(BIN)/python -m tests.proofs.faults

kills: setup     ## kill everything at 60 random moments under load; writes docs/reliability.md
	@$(BIN)/python -m tests.proofs.kills $(ARGS)

# What `make pipeline` takes: VERSION, AGAINST (the live one unless named), SHADOW percent, ENDPOINT of its service.
# They reach the shell as variables and never as text of a command, whatever is in them.
PIPELINE := pipeline pipeline-train pipeline-gate pipeline-build pipeline-image pipeline-shadow
$(PIPELINE): export VERSION ?= v3
$(PIPELINE): export AGAINST ?=
$(PIPELINE): export SHADOW ?= 10
$(PIPELINE): export ENDPOINT ?=
.PHONY: $(PIPELINE)

pipeline: setup  ## train, compare, gate, Bento, image, shadow: VERSION=v3 SHADOW=10
	@for step in train gate build image shadow; do $(MAKE) --no-print-directory pipeline-$$step || exit 1; done

pipeline-train: setup   ## its first step: train VERSION, and those it may be compared with
	@$(BIN)/ekiben train
	@$(BIN)/ekiben train --version "$$VERSION"

pipeline-gate: setup    ## stop here when VERSION is worse than the live one
	@$(BIN)/ekiben gate credit "$$VERSION" $${AGAINST:+--against "$$AGAINST"}

pipeline-build: setup   ## its Bento
	@$(BIN)/python -m deploy.bentos "credit_$$VERSION"

pipeline-image: setup   ## its container image
	@$(BIN)/python -m deploy.images "credit-$$VERSION"

pipeline-shadow: setup  ## SHADOW percent of requests are copied to it; its answers are not served
	@$(BIN)/ekiben shadow credit "$$VERSION" --percent "$$SHADOW" $${ENDPOINT:+--endpoint "$$ENDPOINT"} \
		--yes --why "delivered by the pipeline"
