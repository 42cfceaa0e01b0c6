# SPDX-License-Identifier: Apache-2.0
#
#   make fuzz         FUZZ_RUNS executions of every target of tests/fuzz (default: 10^7)
#   make fuzz-short   FUZZ_SECONDS of each (default: 20)
#   make coverage     unit and golden tests, then the lines of user/core that they reached
#
# What a target finds is kept in the folder fuzz/found/NAME of the output; new inputs that reach
# new code in fuzz/corpus/NAME there. tests/fuzz/corpus/NAME is where it begins, and is not written.

FUZZ_RUNS ?= 10000000
FUZZ_SECONDS ?= 20
FUZZ_FLAGS := -std=gnu17 -O1 -g -fno-omit-frame-pointer -D_GNU_SOURCE -DSONDE_VERSION='"$(VERSION)"' \
	-Iuser -I$(OUTPUT)/gen -Itests/unit -fsanitize=address,undefined -fno-sanitize-recover=all
# Small buffers: 400 KiB a run were most of what the target of ship did, and were never full.
FUZZ_FLAGS += -DREAD_BYTES=1024u -DQUEUE_CHUNK_BYTES=1024u
FUZZ_NAMES := $(patsubst tests/fuzz/%_fuzz.c,%,$(wildcard tests/fuzz/*_fuzz.c))
FUZZ_BIN := $(FUZZ_NAMES:%=$(OUTPUT)/fuzz/%)
FUZZ_LIB := $(OUTPUT)/fuzz/libsonde.a

$(OUTPUT)/fuzz/obj/%.o: %.c $(OUTPUT)/flags Makefile tests/fuzz/fuzz.mk | $(OUTPUT)/gen/registry.h
	$(call say,FUZZ-CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<
$(FUZZ_LIB): $(patsubst %.c,$(OUTPUT)/fuzz/obj/%.o,$(CORE_SRC) $(TEXT_SRC))
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(OUTPUT)/fuzz/%: tests/fuzz/%_fuzz.c $(FUZZ_LIB)
	$(call say,FUZZ,$@)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer -MMD -MP -MF $@.d -o $@ $< $(FUZZ_LIB) \
		-lcmocka -lz -lsqlite3 -lzstd -ljansson -lnghttp2 $(CAPSTONE)

fuzz-build: $(FUZZ_BIN)
fuzz: $(FUZZ_BIN)
	$(Q)OUTPUT=$(OUTPUT) tests/fuzz/run.sh runs $(FUZZ_RUNS) $(FUZZ_NAMES)
fuzz-short: $(FUZZ_BIN)
	$(Q)OUTPUT=$(OUTPUT) tests/fuzz/run.sh seconds $(FUZZ_SECONDS) $(FUZZ_NAMES)

include tests/golden/golden.mk

coverage: $(UNIT)
	$(Q)OUTPUT=$(OUTPUT) tests/unit/coverage.sh

# Tests that stand in for the tracer: their own definitions come before those of the core.
$(addprefix $(OUTPUT)/unit/,engine_test engine_ends_test engine_missing_test engine_lives_test engine_shed_test conn_test http2_test http2_upgrade_test): SAN += -Wl,--allow-multiple-definition

.PHONY: fuzz-build fuzz fuzz-short coverage
-include $(wildcard $(OUTPUT)/fuzz/*.d $(OUTPUT)/fuzz/obj/user/*/*.d $(OUTPUT)/fuzz/obj/user/*/*/*.d)
