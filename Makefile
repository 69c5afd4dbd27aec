.DEFAULT_GOAL := help
.PHONY: help demo update-demo test check examples bench bench-bulk faults scale mutation

# Images set it, and then each of hundreds of processes compiles all of its libraries anew, which takes seconds.
unexport PYTHONDONTWRITEBYTECODE

driver ?= asyncpg
access ?= orm
uv := uv run
# Four at once on two cores too: the tests of a service wait for its server as long as they compute.
pytest := $(uv) pytest -n 4 --dist worksteal

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: ## Scaffold a service and show it at work: make demo [driver=asyncpg|aiomysql] [access=orm|databases] [keep=1]
	@scripts/with-tools $(if $(filter aiomysql,$(driver)),mysqld) -- \
		$(uv) python scripts/demo.py --driver '$(driver)' --access '$(access)' $(if $(keep),--keep)

update-demo: ## Bring the last release up to this one in an edited service: make update-demo [driver=...] [access=...]
	@scripts/with-tools $(if $(filter aiomysql,$(driver)),mysqld) -- \
		$(uv) python scripts/update_demo.py --driver '$(driver)' --access '$(access)'

test: ## Run all that CI runs: every combination on real servers; MYSQLD=/path/to/mysqld adds MySQL beside MariaDB
	@scripts/with-tools mariadbd pgbouncer prometheus -- $(pytest)

check: ## Run what needs no database server: lint, format, types, questions, renders (well under a minute)
	@scripts/with-tools -- $(pytest) -m "not slow"

examples: ## Render examples/ again
	@scripts/with-tools -- $(uv) python scripts/examples.py

bench: ## Measure the services against a hand-written one and other templates, 30 minutes: make bench [quick=1]
	@scripts/with-tools mariadbd -- uv run --group bench python benchmarks/run.py $(if $(quick),--quick)

bench-bulk: ## Measure every way of moving many rows, 20 minutes, MYSQLD as above: make bench-bulk [quick=1]
	@scripts/with-tools mariadbd -- uv run --group bench python benchmarks/bulk.py $(if $(quick),--quick)

faults: ## Do to every combination what breaks databases and networks, 15 minutes, MYSQLD as above: make faults [only=DNS]
	@scripts/with-tools faketime mariadbd -- $(uv) python trials/run_faults.py $(if $(only),--only '$(only)')

scale: ## Run services on clusters that this starts: poolers, failovers, replicas, 20 minutes: make scale [only=patroni]
	@scripts/with-tools mariadbd -- $(uv) python trials/scale/__main__.py $(if $(only),--only $(only))

mutation: ## Put faults into the data layer and see which ones no test notices, 20 minutes: make mutation [each=5] [survivors=1]
	@scripts/with-tools mariadbd -- nice -n 10 $(uv) python trials/mutation.py $(if $(each),--each '$(each)') $(if $(survivors),--survivors)
