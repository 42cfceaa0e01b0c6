# SPDX-License-Identifier: Apache-2.0
$(OUTPUT)/bench/empty.bpf.o: tests/bench/empty.bpf.c
	$(call say,BPF,$<)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -c -o $@ $<
$(OUTPUT)/bench/empty.skel.h: $(OUTPUT)/bench/empty.bpf.o
	$(Q)$(BPFTOOL) gen skeleton $< name empty_bpf > $@
$(OUTPUT)/bench/empty: tests/bench/empty.c $(OUTPUT)/bench/empty.skel.h
	$(call say,CC,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -I$(OUTPUT)/bench -o $@ $< -lbpf

BENCH_ARGS ?=
bench: all $(OUTPUT)/bench/empty
	$(Q)tests/deps.sh test
	$(Q)$(PYTHON) tests/bench/bench.py --sonde $(OUTPUT)/sonde --empty $(OUTPUT)/bench/empty \
		--json $(OUTPUT)/bench/result.json $(BENCH_ARGS)
.PHONY: bench
