# SPDX-License-Identifier: GPL-2.0-only
# Two commands on a fresh machine: `make bench` and `make test`. The others are for developers.

VENV := .venv
export VENV # for bootstrap.sh
# Without cached bytecode every process compiles the package, and pytest every test, anew.
unexport PYTHONDONTWRITEBYTECODE
BIN := $(VENV)/bin
NATIVE := $(wildcard bench/vmabench/native/*.[ch]) bench/vmabench/native/build_ffi.py
SOURCES := setup.py $(NATIVE) $(wildcard kernel/uapi/*.h)
# vmabench-source and the module are the last things that a build writes
BUILT := bench/vmabench/native/vmabench-source

# One worker runs the tests that need the machine for themselves, the others run the pure ones.
PYTEST := $(BIN)/pytest -n auto --maxprocesses 4 --dist loadgroup
# the tiers that `make test` leaves out; tests/tiers.py explains them
OPTIONAL := guest or browser or faults or slow

.PHONY: help bench bench-host test test-rest test-all lint typecheck crosscheck riddles check-run check-counters check-aa check-sensitivity \
	check-coverage check-analysis check-report report notebooks path-lengths kernel-check audit audit-mutants sanitize format \
	bare-check clean FORCE

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

bench: bench-host ## from nothing to a report: the running kernel, then clone in a guest
	@$(BIN)/vmabench guest bench results/latest || [ $$? = 2 ]

bench-host: $(VENV)/.bench $(BUILT) ## the part of bench that runs on this machine's own kernel
	@$(BIN)/vmabench run quick || [ $$? = 2 ] # 2: done, and it has said what is unstable

test: $(VENV)/.test $(BUILT) ## all tests but those of guests, browser and injected faults: at most 6 minutes
	@$(PYTEST) -m "not ($(OPTIONAL))"

test-rest: $(VENV)/.test $(BUILT) ## the tests that `make test` leaves out
	@$(PYTEST) -m "$(OPTIONAL)"

test-all: $(VENV)/.test $(BUILT) ## every test; VMABENCH_REQUIRE=all turns skips into failures
	@$(PYTEST)

lint: $(VENV)/.test $(BUILT) ## ruff, clang-format, warnings of gcc and clang, shellcheck
	@bench/bootstrap.sh lint
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/clang-format --dry-run -Werror $(filter %.c %.h,$(NATIVE)) $(wildcard bench/vmabench/guest/*.c bench/crosscheck/*.c tests/native/*.c)
	@for cc in gcc clang; do \
		for file in $(wildcard bench/vmabench/native/*.c bench/vmabench/guest/*.c bench/crosscheck/*.c tests/native/*.c); do \
			case $$file in */_core.c) continue;; esac; \
			$$cc -std=gnu11 -O2 -Wall -Wextra -Werror -Ibench/vmabench/native -c $$file -o /dev/null || exit 1; \
		done; done
	@shellcheck bench/*.sh .ci/run

typecheck: $(VENV)/.test $(BUILT) ## mypy, strict
	@$(BIN)/mypy

sanitize: $(VENV)/.test ## the tests of the C core under ASan and UBSan
	@bench/sanitize.sh $(BIN)/python

crosscheck: $(VENV)/.bench $(BUILT) ## the core against bare C programs and perf bench: takes five quiet minutes
	@bench/bootstrap.sh crosscheck
	@$(BIN)/python bench/crosscheck/crosscheck.py

riddles: $(VENV)/.bench $(BUILT) ## figures unlike published ones, under several conditions: takes two quiet minutes
	@$(BIN)/python bench/crosscheck/riddles.py

check-run: $(VENV)/.bench $(BUILT) ## what the quick plan promises, on three runs: takes six quiet minutes
	@$(BIN)/python bench/crosscheck/check_run.py

check-matrix: $(VENV)/.bench $(BUILT) ## every mechanism, page and size: a value or a reason? DIR=... of a result; GUEST=1
	@$(BIN)/python bench/crosscheck/check_matrix.py $(DIR) $(if $(GUEST),--guest)

check-counters: $(VENV)/.bench $(BUILT) ## does reading counters cost time? takes two quiet minutes
	@$(BIN)/python bench/crosscheck/check_counters.py

check-aa: $(VENV)/.bench $(BUILT) ## one kernel twice in 10 pairs of runs: are p values uniform? takes forty quiet minutes
	@$(BIN)/python bench/crosscheck/check_aa.py $(if $(NEIGHBOUR),--neighbour)

check-sensitivity: $(VENV)/.bench $(BUILT) ## the smallest change that plans find; MEASURED=1 injects 3 %: takes a quiet hour
	@$(BIN)/python bench/crosscheck/check_sensitivity.py $(if $(MEASURED),--measured) $(if $(NEIGHBOUR),--neighbour)

check-coverage: $(VENV)/.bench $(BUILT) ## do intervals of 95 % hold the truth as often? half a minute
	@$(BIN)/python bench/crosscheck/check_coverage.py

check-analysis: $(VENV)/.bench $(BUILT) ## is the analysis of 2,000 cases quick and small?
	@$(BIN)/python bench/crosscheck/check_analysis.py

check-report: $(VENV)/.test $(BUILT) ## reports of 2,000 cases: how long, how much memory? takes a quiet minute
	@$(BIN)/python bench/crosscheck/report_speed.py

report: $(VENV)/.test $(BUILT) ## all that is derived of the committed results, made anew; CHECK=1 only compares
	@$(BIN)/python bench/crosscheck/published.py $(if $(CHECK),--check)

notebooks: $(VENV)/.notebooks $(BUILT) ## JupyterLab with the notebooks; they begin with the committed results
	@$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks

path-lengths: $(VENV)/.bench $(BUILT) ## has a path of the series grown? WRITE=1 keeps new figures
	@$(BIN)/python bench/crosscheck/path_lengths.py $(if $(WRITE),--write)

kernel-check: $(VENV)/.bench ## is the series fit to be sent? applies, lints, compiles it in many ways
	@bench/bootstrap.sh kernel-check
	@$(BIN)/python kernel/check $(STEPS)

audit: $(VENV)/.test $(BUILT) ## the questions of the 2019 review, on the debug kernel; AUDIT_MINUTES=6, SHORT=1
	@$(BIN)/vmabench guest audit $(if $(SHORT),--short) $(if $(AUDIT_MINUTES),--minutes $(AUDIT_MINUTES)) \
		$(if $(SEED),--seed $(SEED)) $(if $(OUTPUT),-o $(OUTPUT)) $(PROGRAMS)

audit-mutants: $(VENV)/.test $(BUILT) ## does the audit catch deliberate faults in the series? takes an hour
	@$(BIN)/vmabench guest mutants $(if $(OUTPUT),-o $(OUTPUT)) $(MUTANTS)

format: $(VENV)/.test ## rewrite the sources in the project's form
	@$(BIN)/ruff check -q --fix-only .
	@$(BIN)/ruff format -q .
	@$(BIN)/clang-format -i $(filter %.c %.h,$(NATIVE)) $(wildcard bench/vmabench/guest/*.c bench/crosscheck/*.c tests/native/*.c)

bare-check: ## bench and test in a bare Debian: SUITE=bookworm|trixie ORDER=bench-first|test-first CACHE=DIR
	@bench/bare_check.sh

clean: ## everything that is built; results stay
	rm -rf $(VENV) build bench/*.egg-info bench/vmabench/native/*.so $(BUILT) bench/vmabench/native/_core.c

# Set up again after a move of the checkout, an interruption, a removed Python, and for what
# VMABENCH_REQUIRE asks of this call; bootstrap.sh does only what is left to do.
READY := $(shell test -x $(BIN)/python && test ! -e $(VENV)/.unfinished && cat $(VENV)/.path 2>/dev/null)
ifneq "$(READY)$(VMABENCH_REQUIRE)" "$(CURDIR)"
$(VENV)/.bench $(VENV)/.test $(VENV)/.notebooks: FORCE
endif

$(VENV)/.bench: pyproject.toml setup.py bench/bootstrap.sh
	@bench/bootstrap.sh bench

$(VENV)/.test: pyproject.toml setup.py bench/bootstrap.sh
	@bench/bootstrap.sh test

$(VENV)/.notebooks: pyproject.toml setup.py bench/bootstrap.sh
	@bench/bootstrap.sh notebooks

# The installation builds the core as well; this is for a source that changed since.
$(BUILT): $(SOURCES) | $(VENV)/.bench
	@echo "building the C core"
	@umask 022 && $(BIN)/python setup.py -q build_ext --inplace
	@touch $@
