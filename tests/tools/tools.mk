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
# The inspect role's parsers without the role.
$(OUTPUT)/tools/inspect_tls: tests/tools/inspect_tls.c $(patsubst %.c,$(OUTPUT)/obj/%.o,$(filter-out user/inspect/role.c,$(wildcard user/inspect/*.c))) \
		$(CORE_OBJ) $(OUTPUT)/flags
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LINK_CFLAGS) -MMD -MP -MF $@.d -o $@ $(filter %.c %.o,$^) $(LIBS)
-include $(wildcard $(OUTPUT)/tools/*.d)
