# SPDX-License-Identifier: Apache-2.0
# Included by the Makefile: what installs, checks, tests and shows.

deps:
	$(Q)tests/deps.sh build unit fuzz demo test
DEPS := deps-build deps-unit deps-fuzz deps-demo deps-test
$(DEPS): deps-%:
	$(Q)tests/deps.sh $*

# What is compiled needs its packages; quiet and quick where they are there.
$(OUTPUT)/flags $(OUTPUT)/gen/registry.h compile_commands.json: | deps-build
$(UNIT): | deps-unit
unit-build: $(UNIT)

# No root, under a minute.
check:
	$(Q)OUTPUT=$(OUTPUT) PYTHON=$(PYTHON) tests/run.sh build unit golden includes format

# Everything that this machine can: also root, real programs, real back ends, kernels in QEMU.
# PHASES="programs vm" runs some alone.
test: deps-build deps-unit deps-fuzz deps-test
	$(Q)OUTPUT=$(OUTPUT) PYTHON=$(PYTHON) tests/run.sh $(PHASES)

# The kernels of the matrix, in QEMU: KERNELS="k510 knew" takes some alone.
vm: deps-test
	$(Q)OUTPUT=$(OUTPUT) PYTHON=$(PYTHON) tests/run.sh build vm

demo: deps-demo all
	$(Q)OUTPUT=$(OUTPUT) demo/demo.sh

# The README's pictures: taken by the page's own tests.
pictures: deps-test all
	$(Q)tests/lib/venv.sh
	$(Q)OUTPUT=$(OUTPUT) "$$(tests/lib/venv.sh --path)/bin/python" -m pytest -q -p no:cacheprovider -c tests/pytest.ini tests/programs/test_page.py
	$(Q)mkdir -p docs/pictures && install -m 644 $(patsubst %,$(OUTPUT)/test/page/%.png,list trace map) docs/pictures/

.PHONY: unit-build deps $(DEPS) check test vm demo pictures
