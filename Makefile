# SPDX-License-Identifier: Apache-2.0
#
#   make            build build/sonde
#   make deps       install what a bare Debian 12 lacks (says first what and how much)
#   make check      no root, under a minute: unit, golden, direction of includes, format
#   make test       everything that this machine can
#   make fuzz       10^7 executions a parser
#   make bench      ratios, measured in one run
#   make demo       nginx -> Node -> Python, traced
#   make install    DESTDIR= PREFIX=/usr/local
#
# V=1 shows the commands.

OUTPUT ?= build
PREFIX ?= /usr/local
CC ?= gcc
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
PYTHON ?= /usr/bin/python3
VERSION := 0.1.0

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-8s %s\n' $(1) $(2)
MAKEFLAGS += --no-print-directory
endif

ARCH := $(shell uname -m)
BPF_ARCH := $(patsubst x86_64,x86,$(patsubst aarch64,arm64,$(ARCH)))

WARN := -Wall -Wextra -Werror -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wno-unused-parameter
CFLAGS ?= -O2 -g
# The way of a record to its frame goes through many small functions of many files, and the calls between
# them are an eighth of what it costs: the pure part is optimised as a whole, and inlined further than the
# compiler would by itself (4 % fewer instructions, 80 KB more of them). LTO= leaves that out.
LTO ?= -flto=auto
INLINE := --param max-inline-insns-auto=120 --param large-function-growth=1000 --param inline-unit-growth=200 \
	--param large-unit-insns=100000
# And it is compiled twice: the first one replays a record file, and the second one knows which way was
# gone how often (15 % fewer instructions). PGO= leaves that out, as does a compiler for another machine.
PGO ?= $(if $(LTO),$(filter $(ARCH)-%,$(shell $(CC) -dumpmachine)))
TRAINED := $(OUTPUT)/trained
# -fprofile-partial-training: what the replay did not come by is optimised like everything else.
PROFILE := $(if $(TRAINING),-fprofile-generate=$(abspath $(TRAINED)) -fprofile-update=single,$(if $(PGO),\
	-fprofile-use=$(abspath $(TRAINED)) -fprofile-partial-training -Wno-missing-profile))
CORE_CFLAGS := $(if $(LTO),$(LTO) -O3 $(INLINE) $(PROFILE))
# What shows only when more than a file is seen at a time is no reason to stop at the end.
LINK_CFLAGS := $(if $(LTO),$(LTO) -O3 $(INLINE) $(PROFILE) -Wno-error)
ALL_CFLAGS := -std=gnu17 $(WARN) $(CFLAGS) -fno-omit-frame-pointer -D_GNU_SOURCE \
	-DSONDE_VERSION='"$(VERSION)"' -Iuser -I$(OUTPUT)/gen
BPF_CFLAGS := -target bpf -mcpu=v2 -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter -Wno-unused-function \
	-D__TARGET_ARCH_$(BPF_ARCH) -Ibpf -idirafter /usr/include/$(ARCH)-linux-gnu
# libcurl brings libnghttp2 along anyway. libmicrohttpd is not among them: only the role that serves loads it, so that no other one pays for it.
LIBS := -lbpf -lelf -lcurl -ljansson -lfyaml -lseccomp -lcap -lsqlite3 -lzstd -lz -lnghttp2

BPF_OBJS := $(patsubst bpf/%.bpf.c,$(OUTPUT)/bpf/%.bpf.o,$(wildcard bpf/*.bpf.c))
SKELS := $(patsubst $(OUTPUT)/bpf/%.bpf.o,$(OUTPUT)/gen/%.skel.h,$(BPF_OBJS))

# Everything of user/ but main.c; the pure part by itself, for tests and fuzzing.
CORE_SRC := $(wildcard user/base/*.c user/core/*.c user/core/*/*.c)
REST_SRC := $(filter-out user/main.c $(CORE_SRC),$(wildcard user/*/*.c user/*/*/*.c))
CORE_OBJ := $(CORE_SRC:%.c=$(OUTPUT)/obj/%.o)
REST_OBJ := $(REST_SRC:%.c=$(OUTPUT)/obj/%.o)

all: $(OUTPUT)/sonde compile_commands.json

$(OUTPUT)/sonde: $(OUTPUT)/obj/user/main.o $(REST_OBJ) $(CORE_OBJ)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LINK_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

# Generated before anything is compiled: the registry's header, the skeletons.
$(CORE_OBJ): | $(OUTPUT)/gen/registry.h
# What every record and frame passes through outside of the pure part, as well.
HOT_OBJ := $(patsubst %,$(OUTPUT)/obj/user/%.o,trace/role trace/ring supervise/frames ship/ship ship/stream ship/sink/otlp \
	ship/export/queue ship/export/batch)
$(CORE_OBJ) $(HOT_OBJ): WHOLE_CFLAGS := $(CORE_CFLAGS)
ifneq ($(PGO),)
$(CORE_OBJ) $(HOT_OBJ): $(TRAINED)/done
# What another program than replay_cost learns does not fit, as its link leaves other functions out. (-dumpdir
# below: the compiler finds an object's functions by that name, which must be the same in both builds.)
$(TRAINED)/done: Makefile tests/tools/replay_cost.c tests/tools/nginx_record.c registry/registry.txt registry/generate.py \
		$(wildcard headers/*.h $(foreach folder,base core core/proto trace supervise ship ship/*,user/$(folder)/*.[ch]))
	$(call say,TRAIN,$(@D))
	$(Q)rm -rf $(@D) && mkdir -p $(@D)
	$(Q)$(MAKE) OUTPUT=$(OUTPUT)/train TRAINED=$(@D) PGO= TRAINING=1 $(addprefix $(OUTPUT)/train/tools/,replay_cost nginx_record)
	$(Q)GCOV_PREFIX=$(abspath $(@D))/unused $(OUTPUT)/train/tools/nginx_record 24000 $(@D)/nginx.sonde
	$(Q)for part in trace ship; do $(OUTPUT)/train/tools/replay_cost $(@D)/nginx.sonde $$part >$(@D)/said || exit 1; done
	$(Q)touch $@
endif
$(REST_OBJ) $(OUTPUT)/obj/user/main.o: | $(OUTPUT)/gen/registry.h $(SKELS)

# A change of flags rebuilds everything.
$(OUTPUT)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(ALL_CFLAGS) $(CORE_CFLAGS) $(CLANG) $(BPF_CFLAGS)' | cmp -s - $@ || echo '$(CC) $(ALL_CFLAGS) $(CORE_CFLAGS) $(CLANG) $(BPF_CFLAGS)' > $@

$(OUTPUT)/obj/%.o: %.c $(OUTPUT)/flags Makefile
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(WHOLE_CFLAGS) -MMD -MP -MF $(@:.o=.d) -dumpdir $(<D)/ -c -o $@ $<

$(OUTPUT)/bpf/%.bpf.o: bpf/%.bpf.c $(OUTPUT)/flags Makefile
	$(call say,BPF,$<)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<

$(OUTPUT)/gen/%.skel.h: $(OUTPUT)/bpf/%.bpf.o
	$(call say,SKEL,$@)
	@mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name $(subst .,_,$*)_bpf > $@.tmp && mv $@.tmp $@

$(OUTPUT)/gen/registry.h: registry/registry.txt registry/generate.py
	$(call say,GEN,$@)
	@mkdir -p $(@D)
	$(Q)$(PYTHON) registry/generate.py header registry/registry.txt > $@.tmp && mv $@.tmp $@

# The page: all files of its folder, each compressed; a file that is gone counts as a change.
PAGE := $(wildcard user/serve/page/*)
$(OUTPUT)/page.list: FORCE
	@mkdir -p $(@D)
	@echo '$(PAGE)' | cmp -s - $@ || echo '$(PAGE)' > $@
$(OUTPUT)/gen/page_files.h: user/serve/embed.py $(PAGE) $(OUTPUT)/page.list
	$(call say,GEN,$@)
	@mkdir -p $(@D)
	$(Q)$(PYTHON) $< $(PAGE) > $@.tmp && mv $@.tmp $@
$(OUTPUT)/obj/user/serve/page.o: $(OUTPUT)/gen/page_files.h

compile_commands.json: Makefile $(wildcard user/*/*.c user/*/*/*.c)
	$(Q)$(PYTHON) tests/compile_commands.py '$(CC) $(subst ",\",$(ALL_CFLAGS))' user/main.c $(CORE_SRC) $(REST_SRC) > $@.tmp && mv $@.tmp $@

# Unit tests: one program a file of tests/unit, on the pure part and on what of the rest needs no BPF.
UNIT := $(patsubst tests/unit/%.c,$(OUTPUT)/unit/%,$(wildcard tests/unit/*_test.c))
SAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined
SAN_OBJ := $(CORE_SRC:%.c=$(OUTPUT)/san/%.o)
TEXT_SRC := $(filter-out user/inspect/role.c,$(wildcard user/inspect/*.c user/probe/identity*.c \
	user/probe/procfs*.c user/probe/container*.c user/probe/service_name*.c user/probe/sdk_detect*.c \
	user/supervise/frames.c user/supervise/live.c user/supervise/control.c user/ship/export/*.c user/ship/console/*.c user/ship/store/*.c user/ship/stream.c \
	user/ship/config*.c user/ship/yaml.c \
	$(filter-out $(addprefix user/serve/,role.c http.c mhd.c page.c receive_role.c receive_http.c receive_grpc.c),$(wildcard user/serve/*.c))))
SAN_TEXT := $(OUTPUT)/san/libtext.a
$(SAN_TEXT): $(TEXT_SRC:%.c=$(OUTPUT)/san/%.o)
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(SAN_OBJ): | $(OUTPUT)/gen/registry.h
$(OUTPUT)/san/%.o: %.c $(OUTPUT)/flags Makefile
	$(call say,CC-SAN,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -O1 $(SAN) --coverage -MMD -MP -c -o $@ $<
$(OUTPUT)/unit/%: tests/unit/%.c $(SAN_OBJ) $(SAN_TEXT) $(OUTPUT)/flags
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -O1 $(SAN) --coverage -Itests/unit -MMD -MP -MF $@.d -o $@ $< $(SAN_TEXT) $(SAN_OBJ) -lcmocka -lz -lsqlite3 -lzstd -ljansson -lcurl -lfyaml -lnghttp2

include tests/tests.mk
include tests/bench/bench.mk
include tests/bench/store.mk
include tests/fuzz/fuzz.mk
include tests/tools/tools.mk

unit: $(UNIT)
	$(Q)set -e; for t in $^; do echo "== $$t"; $$t; done

# Manual pages, of the commands' own help, so that the two cannot say different things.
manual: $(OUTPUT)/man/made
$(OUTPUT)/man/made: deploy/manual.py $(OUTPUT)/sonde
	$(call say,GEN,$(@D))
	$(Q)rm -rf $(@D) && mkdir -p $(@D) && $(PYTHON) $< $(OUTPUT)/sonde $(@D) && touch $@

install: all manual
	$(call say,INSTALL,$(DESTDIR)$(PREFIX))
	$(Q)install -D -m 0755 $(OUTPUT)/sonde $(DESTDIR)$(PREFIX)/bin/sonde
	$(Q)install -D -m 0644 deploy/sonde.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/sonde
	$(Q)install -D -m 0644 deploy/_sonde $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_sonde
	$(Q)install -D -m 0644 deploy/sonde.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/sonde.fish
	$(Q)install -d $(DESTDIR)$(PREFIX)/share/man/man1
	$(Q)install -m 0644 $(OUTPUT)/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	$(Q)install -D -m 0644 deploy/sonde.service $(DESTDIR)$(PREFIX)/lib/systemd/system/sonde.service
	$(Q)sed -i 's|@BIN@|$(PREFIX)/bin|' $(DESTDIR)$(PREFIX)/lib/systemd/system/sonde.service
	$(Q)install -D -m 0644 LICENSE $(DESTDIR)$(PREFIX)/share/doc/sonde/LICENSE
	$(Q)install -D -m 0644 README.md $(DESTDIR)$(PREFIX)/share/doc/sonde/README.md

uninstall:
	$(call say,REMOVE,$(DESTDIR)$(PREFIX))
	$(Q)rm -f $(DESTDIR)$(PREFIX)/bin/sonde $(DESTDIR)$(PREFIX)/share/bash-completion/completions/sonde \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_sonde $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/sonde.fish \
		$(DESTDIR)$(PREFIX)/lib/systemd/system/sonde.service $(DESTDIR)$(PREFIX)/share/man/man1/sonde.1 \
		$(DESTDIR)$(PREFIX)/share/man/man1/sonde-*.1
	$(Q)rm -rf $(DESTDIR)$(PREFIX)/share/doc/sonde

clean:
	rm -rf $(OUTPUT) compile_commands.json

FORCE:
.PHONY: all unit manual install uninstall clean FORCE
.DELETE_ON_ERROR:
.SECONDARY:

-include $(wildcard $(OUTPUT)/obj/user/*.d $(OUTPUT)/obj/user/*/*.d $(OUTPUT)/obj/user/*/*/*.d \
	$(OUTPUT)/san/user/*/*.d $(OUTPUT)/san/user/*/*/*.d $(OUTPUT)/bpf/*.d $(OUTPUT)/unit/*.d)
