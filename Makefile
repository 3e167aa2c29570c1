# The front door. On a fresh machine with Python 3.11+ and git, every command below does its own set-up.
# Options go into ARGS, for example: make test ARGS="-k relu"

UV := tools/uv
RUN := $(UV) run
CODE := $(wildcard trainloop tests benchmarks)
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test quick lab build site check benchmark

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(READY)  ## Release a real lesson, grade a class of sample submissions, write their feedback
	$(RUN) trainloop demo $(ARGS)

# Of what the build proves, the tests sample: make test ARGS=--all leaves nothing out. With `worksteal` no processor
# stands idle behind a long file; what a file's tests share is then set up by each process that runs some of them. Three
# processes on two cores take longer than two, and what has to do with time fails more easily.
test: $(READY)  ## Run all tests
	$(RUN) pytest -n 2 --dist worksteal $(ARGS)

quick: $(READY)  ## Check style and types, run the tests that start no process: under a minute
	$(RUN) ruff check $(CODE)
	$(RUN) ruff format --check $(CODE)
	$(RUN) mypy --strict trainloop benchmarks
	$(RUN) pytest -q -n 2 -m "not slow" $(ARGS)

lab: $(READY)  ## Open your own working copy of the lessons in JupyterLab
	$(RUN) trainloop lab $(ARGS)

build: $(READY)  ## Generate the instructor, student and solution notebooks from notebooks/
	$(RUN) trainloop build $(ARGS)

site: $(READY)  ## Build the web edition into site/, to read or to publish
	$(RUN) trainloop site $(ARGS)

check: $(READY)  ## Check style and types, and that the generated notebooks are up to date
	$(RUN) ruff check $(CODE)
	$(RUN) ruff format --check $(CODE)
	$(RUN) mypy --strict trainloop benchmarks
	$(RUN) trainloop build --check

benchmark: $(READY)  ## Measure how many submissions a minute are graded
	$(RUN) python -m benchmarks $(ARGS)

# The set-up: only when pyproject.toml has changed, so that a second `make demo` starts at once.
# pyproject.toml pins the direct dependencies exactly, and `exclude-newer` in it hides from the resolver
# whatever was published after that date. So the indirect ones stay still as well, without uv.lock,
# which is not committed because it names the host that each package came from.
$(READY): pyproject.toml
	$(UV) sync
