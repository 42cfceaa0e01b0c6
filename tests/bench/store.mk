# SPDX-License-Identifier: Apache-2.0
#
#   make bench-store    the store alone: spans a second and core, bytes a span, answers (STORE_SPANS=1000000)
STORE_SPANS ?= 1000000
STORE_BENCH_OBJ := $(patsubst %.c,$(OUTPUT)/obj/%.o,$(wildcard user/ship/store/*.c user/ship/console/*.c user/ship/export/*.c) user/serve/catalogue.c)
$(OUTPUT)/bench/store: tests/bench/store.c $(STORE_BENCH_OBJ) $(CORE_OBJ) $(OUTPUT)/flags
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LINK_CFLAGS) -o $@ $(filter %.c %.o,$^) -lsqlite3 -lzstd -ljansson -lz -lnghttp2
bench-store: $(OUTPUT)/bench/store
	$(Q)OUTPUT=$(OUTPUT) tests/bench/store.sh $(STORE_SPANS)
.PHONY: bench-store
