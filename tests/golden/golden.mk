# SPDX-License-Identifier: Apache-2.0
#
#   make golden           every script of tests/golden against what it gave before, twice each
#   make golden-accept    takes what they give now as right: read the diff

$(OUTPUT)/golden/golden: tests/golden/golden.c tests/unit/sim.h $(SAN_OBJ)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -O1 $(SAN) --coverage -Itests/unit -o $@ $< $(SAN_OBJ) -lcmocka -lz -lzstd -ljansson -lnghttp2
golden: $(OUTPUT)/golden/golden
	$(Q)OUTPUT=$(OUTPUT) tests/golden/run.sh
golden-accept: $(OUTPUT)/golden/golden
	$(Q)OUTPUT=$(OUTPUT) tests/golden/run.sh accept
.PHONY: golden golden-accept
