# SPDX-License-Identifier: Apache-2.0
# Programs of the tests that link the real objects.
SHIP_OBJ := $(patsubst %.c,$(OUTPUT)/obj/%.o,$(filter-out user/ship/role.c,$(wildcard user/ship/*.c user/ship/*/*.c)) \
	user/supervise/control.c user/supervise/frames.c user/trace/record_file.c)
$(OUTPUT)/tools/%: tests/tools/%.c $(SHIP_OBJ) $(CORE_OBJ) $(OUTPUT)/flags
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LINK_CFLAGS) -MMD -MP -MF $@.d -o $@ $< $(SHIP_OBJ) $(CORE_OBJ) $(LIBS)
# Stands for a backend, and must cost nothing of sonde's: by itself.
$(OUTPUT)/tools/otlp_sink: tests/tools/otlp_sink.c $(OUTPUT)/flags
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $<
-include $(wildcard $(OUTPUT)/tools/*.d)
