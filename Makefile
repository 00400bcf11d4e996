# Entry points for people; the work is done by the scripts in tools/.
VENV ?= .venv
PY := $(VENV)/bin/python

.PHONY: dev
# Build the C extensions in place; incremental, safe to call concurrently.
dev:
	@tools/bootstrap dev
