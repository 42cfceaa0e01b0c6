# SPDX-License-Identifier: Apache-2.0
#
#   make bench          what it costs on this machine, in ratios of one run (root; about twelve minutes);
#                       LINES="idle start" takes some lines alone, build/bench/result.json keeps the others
#   make bench-docs     puts what was measured last into README.md and docs/scale.md
#   make bench-check    what it costs in instructions, allocations and bytes, against tests/bench/budget.json
#   make bench-accept   today's figures become the budgets: say in the commit why
#   make bench-works    a million checked requests over TLS in Go, Node and Java while sonde comes and goes (WORKS=1000000; 15 minutes)
#   make bench-busy     a million checked exchanges under the newest kernel in QEMU (BUSY=1000000)
$(OUTPUT)/bench/empty.bpf.o: tests/bench/empty.bpf.c
	$(call say,BPF,$<)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -c -o $@ $<
$(OUTPUT)/bench/empty.skel.h: $(OUTPUT)/bench/empty.bpf.o
	$(Q)$(BPFTOOL) gen skeleton $< name empty_bpf > $@
$(OUTPUT)/bench/empty: tests/bench/empty.c $(OUTPUT)/bench/empty.skel.h
	$(call say,CC,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -I$(OUTPUT)/bench -o $@ $< -lbpf
$(OUTPUT)/bench/load: tests/bench/load.c $(OUTPUT)/flags
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $<

$(OUTPUT)/bench/tls_calls: tests/bench/tls_calls.c $(OUTPUT)/flags
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $< -lssl -lcrypto -lgnutls

BENCH_TOOLS := $(OUTPUT)/bench/empty $(OUTPUT)/bench/load $(OUTPUT)/bench/tls_calls $(patsubst %,$(OUTPUT)/tools/%,otlp_sink bpf_info nginx_record replay_cost)
bench-build: all $(BENCH_TOOLS) $(OUTPUT)/bench/store

LINES ?=
BENCH_ARGS ?=
bench: bench-build
	$(Q)tests/deps.sh test
	$(Q)tests/vm/kernels.sh k612
	$(Q)OUTPUT=$(OUTPUT) $(PYTHON) tests/bench/bench.py --json $(OUTPUT)/bench/result.json \
		--markdown $(OUTPUT)/bench/result.md $(BENCH_ARGS) $(LINES)

# What the last run has measured, in the tables of the pages.
bench-docs:
	$(Q)$(PYTHON) tests/bench/docs.py $(OUTPUT)/bench/result.json README.md docs/scale.md

bench-check: bench-build
	$(Q)tests/deps.sh test
	$(Q)tests/vm/kernels.sh k612
	$(Q)OUTPUT=$(OUTPUT) $(PYTHON) tests/bench/check.py --json $(OUTPUT)/bench/check.json $(BENCH_ARGS)
bench-accept: bench-build
	$(Q)tests/deps.sh test
	$(Q)tests/vm/kernels.sh k612
	$(Q)OUTPUT=$(OUTPUT) $(PYTHON) tests/bench/check.py --accept --json $(OUTPUT)/bench/check.json $(BENCH_ARGS)

BUSY ?= 1000000
bench-busy: bench-build
	$(Q)tests/deps.sh test
	$(Q)tests/vm/kernels.sh knew
	$(Q)OUTPUT=$(OUTPUT) $(PYTHON) tests/bench/busy_vm.py --exchanges $(BUSY) --json $(OUTPUT)/bench/busy.json

WORKS ?= 1000000
bench-works: all
	$(Q)tests/deps.sh test
	$(Q)OUTPUT=$(OUTPUT) SONDE_TLS_REQUESTS=$(WORKS) "$$(tests/lib/venv.sh --path)/bin/python" -m pytest -q -s -p no:cacheprovider \
		-c tests/pytest.ini tests/programs/test_tls_works.py -k attached
.PHONY: bench bench-docs bench-build bench-check bench-accept bench-busy bench-works
