# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# `make help` lists what there is to make. V=1 shows the commands, SAN=1 builds with sanitizers.

V ?= 0
B := build
Q := $(if $(filter 1,$(V)),,@)
msg = $(if $(filter 1,$(V)),@:,@printf '  %-8s %s\n' $(1) $(patsubst $(B)/%,%,$@))

CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
CLANG_FORMAT ?= clang-format

ARCH := $(shell uname -m | sed 's/x86_64/x86/;s/aarch64/arm64/;s/ppc64le/powerpc/;s/riscv64/riscv/')
MULTIARCH := $(shell $(CC) -print-multiarch 2>/dev/null)
WARN := -Wall -Wextra -Werror
BPF_OPT ?= -O2
BPF_CFLAGS := -g $(BPF_OPT) -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) $(WARN) \
	-idirafter /usr/include/$(MULTIARCH)
comma := ,
# gcc warns of what the sanitizers insert, too; the build without them has seen the code's own.
SANFLAGS := $(if $(SAN),-fsanitize=address$(comma)undefined -fno-sanitize-recover=all -fno-omit-frame-pointer \
	-Wno-format-overflow -Wno-maybe-uninitialized)
# Of two shared libraries UBSan's would not write to the file that it is told.
override LDFLAGS += $(if $(SAN),-static-libasan -static-libubsan)
CFLAGS ?= $(if $(SAN),-O1,-O2) -g
override CFLAGS += -std=gnu11 $(CPPFLAGS) $(WARN) -I$(B) $(SANFLAGS)
LDLIBS := -lbpf -ljansson -lmnl -lcap

SHARED_BPF := outbound reply origdst inbound
LIB_SRC := agent bpffs cgroup check check_plan check_try config config_flags config_lists datapath datapath_load enter err explain gone \
	holders idmap import import_guess istio_env istio_rules leftover list_file listening netlink netns nsid \
	options own_cgroup pod pod_attach pod_compare pod_detach pod_drain pod_env pod_file pod_health pod_health_hooks \
	pod_health_proxy pod_inputs pod_lists pod_maps pod_place pod_read pod_readers pod_refresh pod_sums pod_upgrade prefix probe resolv \
	rule rule_form rules rules_effect rules_read ruleset ruleset_facts run run_cgroup show_stats socktab stats \
	stats_prometheus term tracer validate values why
CMD_SRC := main caps cmd cmd_agent cmd_attach cmd_explain cmd_import cmd_probe cmd_istio istio_show cmd_stats cmd_status \
	show_status watch cmd_check cmd_run explain_flow explain_offline explain_show cmd_trace pods_file
# What needs neither root nor libbpf, for tests and fuzzers.
PURE_SRC := config config_flags config_lists err explain import import_guess istio_rules list_file options pod_file prefix resolv rule rule_form rules \
	rules_effect rules_read ruleset ruleset_facts values why
obj = $(patsubst %,$(B)/user/%.o,$(1))

UNIT_TESTS := istio_env_test options_test config_test refusals_test list_file_test resolv_test ruleset_test refresh_test import_test \
	import_random_test verdict_test known_test explain_test oracle_test kernel_test budget_test show_test
UNIT_SHARED := flags rows rows_run twin oracle oracle_walk oracle_print draw trial walk random_rules import_refusals
FUZZERS := verdict flags import
E2E_PRELOADED := nohook openfds
E2E_PROGRAMS := $(filter-out $(E2E_PRELOADED) %.bpf,$(basename $(notdir $(wildcard tests/e2e/*.c))))
T := $(B)/tests
SKELS := $(B)/st_all.skel.h $(B)/st_live.skel.h $(T)/kernel_test.skel.h $(T)/lb.skel.h

.PHONY: all help install uninstall deb demo test bench bench-programs scale soak vm test-programs sanitized budgets lint format clean
.DELETE_ON_ERROR:
.PRECIOUS: $(T)/e2e/%.o $(T)/fuzz/%.o

all: $(B)/socktables		## build the command (default)

help:				## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

$(B)/socktables: $(call obj,$(CMD_SRC)) $(B)/libsocktables.a
	$(call msg,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(B)/libsocktables.a: $(call obj,$(LIB_SRC))
	$(call msg,AR)
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/user/%.o: user/%.c | $(SKELS)
	$(call msg,CC)
	$(Q)mkdir -p $(@D) && $(CC) $(CFLAGS) -MMD -MP -c $< -o $@

$(B)/%.bpf.o: bpf/%.bpf.c
	$(call msg,BPF)
	$(Q)mkdir -p $(@D) && $(CLANG) $(BPF_CFLAGS) -MMD -MP -MF $@.d -c $< -o $@

$(B)/st_all.o: $(patsubst %,$(B)/%.bpf.o,$(SHARED_BPF))
	$(call msg,BPFLINK)
	$(Q)$(BPFTOOL) gen object $@ $^

$(B)/st_live.o: $(B)/live.bpf.o
	$(call msg,BPFLINK)
	$(Q)$(BPFTOOL) gen object $@ $^

$(T)/kernel_test.o $(T)/lb.o: $(T)/%.o: $(T)/%.bpf.o
	$(call msg,BPFLINK)
	$(Q)$(BPFTOOL) gen object $@ $^

$(SKELS): %.skel.h: %.o
	$(call msg,SKEL)
	$(Q)$(BPFTOOL) gen skeleton $< name $(*F) > $@

$(T)/lb.bpf.o: tests/e2e/lb.bpf.c
	$(call msg,BPF)
	$(Q)mkdir -p $(@D) && $(CLANG) $(BPF_CFLAGS) -MMD -MP -MF $@.d -c $< -o $@

$(T)/%.bpf.o: tests/unit/%.bpf.c
	$(call msg,BPF)
	$(Q)mkdir -p $(@D) && $(CLANG) $(BPF_CFLAGS) -MMD -MP -MF $@.d -c $< -o $@

$(T)/unit/%.o: tests/unit/%.c | $(SKELS)
	$(call msg,CC)
	$(Q)mkdir -p $(@D) && $(CC) $(CFLAGS) -I$(T) -MMD -MP -c $< -o $@

# What the verifier does depends on what compiled the programs.
$(T)/unit/budget_test.o: override CFLAGS += -DBPF_CLANG=$(shell $(CLANG) -dumpversion | cut -d. -f1)

budgets: $(T)/unit_budget_test	## record what it costs to verify each program (root)
	$(Q)$< record > $(T)/budgets && cp $(T)/budgets tests/unit/budgets

$(patsubst %,$(T)/unit_%,$(UNIT_TESTS)): $(T)/unit_%: $(T)/unit/%.o \
		$(patsubst %,$(T)/unit/%.o,$(UNIT_SHARED)) $(B)/libsocktables.a
	$(call msg,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -lcmocka -o $@

# Each target that needs packages installs what is missing: a fresh Debian has but make and git.
# The build proper is a second make, since a first one looks for its tools while it starts.
demo:				## show it with a real proxy, DNS server and web server (root)
	$(Q)tests/deps.sh build demo
	$(Q)$(MAKE) --no-print-directory all
	$(Q)tests/demo/demo.sh

test:				## run every test (root); TESTS='unit_verdict_test diff' for some
	$(Q)tests/deps.sh build test vm deb
	$(Q)$(MAKE) --no-print-directory all test-programs
	$(Q)tests/run.sh $(TESTS)

# What it costs beside the other ways to do it: build/bench/results.md.
bench:				## measure it against iptables and nftables (root); QUICK=1: in two minutes
	$(Q)tests/deps.sh build test bench
	$(Q)$(MAKE) --no-print-directory all bench-programs
	$(Q)tests/bench/bench.sh $(if $(filter 1,$(QUICK)),--quick,--full)

scale:				## 1,000 attached pods, traffic and updates (root); PODS=200
	$(Q)tests/deps.sh build test
	$(Q)$(MAKE) --no-print-directory all test-programs
	$(Q)mkdir -p $(B)/scale && rm -f $(B)/scale/*
	$(Q)SUITE_SECONDS=3600 SCALE_PODS=$(or $(PODS),1000) SCALE_TSV=$(abspath $(B))/scale/curve.tsv tests/run.sh scale

# What runs for hours if it is let, at random. The three share the time; each may take a while to end.
HOURS ?= 3
FLOWS ?= 300
soak:				## fuzzers, pods, random policies for long (root); HOURS=8, or 0.1
	$(Q)tests/deps.sh build test
	$(Q)$(MAKE) --no-print-directory all test-programs
	$(Q)third=$$(awk 'BEGIN { print int($(HOURS) * 1200) }') && [ "$$third" -gt 0 ] && \
		SUITE_SECONDS=$$((third + 1800)) FUZZ_SECONDS=$$third SOAK_SECONDS=$$third RANDOM_SECONDS=$$third \
		RANDOM_POLICIES=1000000 RANDOM_FLOWS=$(FLOWS) tests/run.sh fuzz soak random

# Emulated, so slow: suites that need minutes here need hours there.
KERNELS ?= 5.10 6.1 6.12 newest
vm:				## tests under other kernels in QEMU (root); KERNELS='6.1 newest' VM_TESTS='proxy cidrs'
	$(Q)tests/deps.sh build test vm deb
	$(Q)$(MAKE) --no-print-directory all test-programs
	$(Q)VM_TESTS='$(VM_TESTS)' tests/vm/all.sh $(B)/vm $(KERNELS)

lint:				## formatting, warnings, byte order, shell
	$(Q)tests/deps.sh build test lint
	$(Q)$(MAKE) --no-print-directory all test-programs
	$(Q)tests/lint.sh

format:				## put the C sources in order
	$(Q)git ls-files '*.c' '*.h' | xargs $(CLANG_FORMAT) -i

$(T)/diff/%.o: tests/diff/%.c
	$(call msg,CC)
	$(Q)mkdir -p $(@D) && $(CC) $(CFLAGS) -MMD -MP -c $< -o $@

DIFF_PROGRAMS := $(patsubst %,$(T)/diff_%,sink flow rules flows random)
# Those that know what a policy is.
DIFF_POLICY := $(T)/diff/world.o $(patsubst %,$(T)/unit/%.o,oracle oracle_walk oracle_print draw) \
	$(call obj,$(PURE_SRC))

$(T)/diff_sink: $(T)/diff/sink.o $(T)/diff/addr.o
$(T)/diff_flow: $(patsubst %,$(T)/diff/%.o,flow row owner step addr)
$(T)/diff_rules: $(T)/diff/rules.o $(DIFF_POLICY)
$(T)/diff_flows: $(T)/diff/flows.o $(T)/diff/emit.o $(DIFF_POLICY)
$(T)/diff_random: $(T)/diff/random.o $(T)/diff/emit.o $(DIFF_POLICY)
$(DIFF_PROGRAMS):
	$(call msg,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ -o $@

# Load generators: one program each, and what they share.
BENCH_SHARED := side runs
BENCH_PROGRAMS := $(patsubst %,$(T)/bench_%,$(filter-out $(BENCH_SHARED),$(basename $(notdir $(wildcard tests/bench/*.c)))))

$(T)/bench/%.o: tests/bench/%.c
	$(call msg,CC)
	$(Q)mkdir -p $(@D) && $(CC) $(CFLAGS) -MMD -MP -c $< -o $@

$(BENCH_PROGRAMS): $(T)/bench_%: $(T)/bench/%.o $(patsubst %,$(T)/bench/%.o,$(BENCH_SHARED)) $(T)/diff/addr.o
	$(call msg,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

bench-programs: $(BENCH_PROGRAMS)

# libFuzzer is clang's; everything that a fuzzer sees is built anew with its instrumentation.
FUZZ_FLAGS := -g -O1 -std=gnu11 $(WARN) -fsanitize=fuzzer,address,undefined \
	-fno-sanitize-recover=all -fno-omit-frame-pointer
FUZZ_SHARED := $(patsubst %,user/%,$(PURE_SRC)) $(patsubst %,tests/unit/%,oracle oracle_walk draw trial)

$(T)/fuzz/%.o: %.c
	$(call msg,CC)
	$(Q)mkdir -p $(@D) && $(CLANG) $(FUZZ_FLAGS) -MMD -MP -c $< -o $@

$(T)/fuzz_%: $(T)/fuzz/tests/fuzz/%.o $(patsubst %,$(T)/fuzz/%.o,$(FUZZ_SHARED))
	$(call msg,LINK)
	$(Q)$(CLANG) $(FUZZ_FLAGS) $^ -o $@

$(T)/e2e/%.o: tests/e2e/%.c | $(SKELS)
	$(call msg,CC)
	$(Q)mkdir -p $(@D) && $(CC) $(CFLAGS) -I$(T) -MMD -MP -c $< -o $@

$(T)/e2e_%: $(T)/e2e/%.o $(T)/diff/addr.o
	$(call msg,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

$(T)/e2e_%.so: tests/e2e/%.c
	$(call msg,CC)
	$(Q)mkdir -p $(@D) && $(CC) $(CFLAGS) -fPIC -shared $< -ldl -o $@

# Other builds, to upgrade to and to be refused by: with other instructions in each program, and with
# another layout. What differs is in datapath.o and datapath_load.o.
OTHER_BUILDS := $(T)/next/socktables $(T)/layout/socktables
NEXT_SKEL := $(T)/next/st_all.skel.h

$(NEXT_SKEL): $(B)/st_all.o
	$(Q)$(MAKE) --no-print-directory B=$(T)/next BPF_OPT=-O1 $(NEXT_SKEL) && touch $(NEXT_SKEL)

$(T)/next/%.o: user/%.c $(NEXT_SKEL)
	$(call msg,CC)
	$(Q)$(CC) -I$(T)/next $(CFLAGS) -MMD -MP -c $< -o $@

$(T)/layout/%.o: user/%.c | $(SKELS)
	$(call msg,CC)
	$(Q)mkdir -p $(@D) && $(CC) -DST_LAYOUT=99 $(CFLAGS) -MMD -MP -c $< -o $@

$(OTHER_BUILDS): %/socktables: %/datapath.o %/datapath_load.o $(call obj,$(CMD_SRC)) $(B)/libsocktables.a
	$(call msg,LINK)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LDLIBS) -o $@

# The command and the unit programs once more, for tests/e2e/sanitized.sh.
sanitized:
	$(Q)$(MAKE) --no-print-directory SAN=1 B=$(B)/san $(B)/san/socktables \
		$(patsubst %,$(B)/san/tests/unit_%,$(UNIT_TESTS))

test-programs: sanitized $(OTHER_BUILDS) $(patsubst %,$(T)/e2e_%,$(E2E_PROGRAMS)) $(patsubst %,$(T)/e2e_%.so,$(E2E_PRELOADED)) $(DIFF_PROGRAMS) $(BENCH_PROGRAMS) \
	$(patsubst %,$(T)/unit_%,$(UNIT_TESTS)) $(patsubst %,$(T)/fuzz_%,$(FUZZERS))

# Where `make install` puts things, below DESTDIR.
prefix ?= /usr/local
sbindir ?= $(prefix)/sbin
mandir ?= $(prefix)/share/man
docdir ?= $(prefix)/share/doc/socktables
unitdir ?= $(prefix)/lib/systemd/system
bashcompdir ?= $(prefix)/share/bash-completion/completions
zshcompdir ?= $(prefix)/share/zsh/site-functions
INSTALL ?= install
DOCS := README.md doc/troubleshooting.md
at = $(DESTDIR)$(1)

install: all			## DESTDIR= prefix=/usr/local: command, man page, completions, unit of the agent
	$(Q)$(INSTALL) -D -m 755 $(B)/socktables $(call at,$(sbindir)/socktables)
	$(Q)$(INSTALL) -D -m 644 doc/socktables.8 $(call at,$(mandir)/man8/socktables.8)
	$(Q)$(INSTALL) -D -m 644 completion/socktables.bash $(call at,$(bashcompdir)/socktables)
	$(Q)$(INSTALL) -D -m 644 completion/_socktables $(call at,$(zshcompdir)/_socktables)
	$(Q)$(INSTALL) -d $(call at,$(unitdir)) $(call at,$(docdir))
	$(Q)sed 's,/usr/local/sbin,$(sbindir),' data/socktables-agent.service > $(call at,$(unitdir)/socktables-agent.service)
	$(Q)chmod 644 $(call at,$(unitdir)/socktables-agent.service)
	$(Q)$(INSTALL) -m 644 $(DOCS) $(call at,$(docdir))

uninstall:			## remove what install put there, given the same DESTDIR and prefix
	$(Q)rm -f $(call at,$(sbindir)/socktables) $(call at,$(mandir)/man8/socktables.8) \
		$(call at,$(bashcompdir)/socktables) $(call at,$(zshcompdir)/_socktables) \
		$(call at,$(unitdir)/socktables-agent.service) $(patsubst %,$(call at,$(docdir))/%,$(notdir $(DOCS)))
	$(Q)rmdir $(call at,$(docdir)) 2>/dev/null || :

# In a copy of the tree, as the package's build works in the tree that it is given.
DEB_DIR ?= $(B)/deb
deb:				## a Debian package in build/deb, and what lintian says of it
	$(Q)tests/deps.sh build deb
	$(Q)rm -rf $(DEB_DIR) && mkdir -p $(DEB_DIR)/socktables
	$(Q)tar --create --exclude=./$(B) --exclude=./.git . | tar --extract --directory=$(DEB_DIR)/socktables
	$(Q)cd $(DEB_DIR)/socktables && dpkg-buildpackage --unsigned-source --unsigned-changes
	$(Q)lintian --fail-on error --allow-root $(DEB_DIR)/socktables_*.changes

clean:				## remove what was built
	$(Q)rm -rf $(B)

-include $(shell find $(B) -name "*.d" 2>/dev/null)
