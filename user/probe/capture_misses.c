/* SPDX-License-Identifier: Apache-2.0 */
/* What no counter of the programs can see: hits that no program ran for; and what to do then. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>

#include "probe/capture_internal.h"

/*
 * The part of struct bpf_link_info that a kprobe's link fills (kernel 6.7 for `missed`, newer than
 * the headers this is compiled with).
 */
struct kprobe_link_info {
	uint32_t type, id, prog_id, pad;
	uint32_t event_type, pad2;
	uint64_t func_name;
	uint32_t name_len, offset;
	uint64_t addr;
	uint64_t missed;
	uint8_t newer[128];
};
#define LINK_TYPE_PERF_EVENT 7

static bool program_misses(const struct bpf_program *program, uint64_t *ret)
{
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &len) ||
	    len < offsetof(struct bpf_prog_info, recursion_misses) + sizeof(info.recursion_misses))
		return false;
	*ret = info.recursion_misses;
	return true;
}

static bool link_misses(const struct bpf_link *link, uint64_t *ret)
{
	struct kprobe_link_info info = {};
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_link__fd(link), &info, &len) ||
	    info.type != LINK_TYPE_PERF_EVENT ||
	    len < offsetof(struct kprobe_link_info, missed) + sizeof(info.missed))
		return false;
	*ret = info.missed;
	return true;
}

static bool is_kprobe(const struct bpf_program *program)
{
	return bpf_program__type(program) == BPF_PROG_TYPE_KPROBE;
}

/* Of on_unix_paged they are counted with what was sent otherwise. */
static bool is_unix_return(const char *name)
{
	return !strcmp(name, "on_unix_sent") || !strcmp(name, "on_unix_paged") ||
	       !strcmp(name, "on_unix_copied") || !strcmp(name, "on_unix_received");
}

static uint64_t unix_misses(const struct capture *c, bool sent)
{
	struct sonde_kcounters sum;

	capture__counters(c, &sum);
	return sent ? sum.unix_missed_sent : sum.unix_missed_received;
}

/* What a tier that was left had missed is missed still: programs of one name are one to the account. */
static unsigned int add_left(const struct capture *c, struct capture_miss *ret, unsigned int n,
			     unsigned int max)
{
	for (unsigned int i = 0; i < c->n_left; i++) {
		unsigned int at = 0;

		while (at < n && at < max && strcmp(ret[at].program, c->left[i].program))
			at++;
		if (at < n && at < max) {
			ret[at].known = ret[at].known && c->left[i].known;
			ret[at].missed += c->left[i].missed;
		} else if (n++ < max) {
			ret[n - 1] = c->left[i];
		}
	}
	return n;
}

unsigned int capture__misses(const struct capture *c, struct capture_miss *ret, unsigned int max)
{
	unsigned int n = 0, n_link = 0;

	for (unsigned int pass = 0; pass < CAPTURE_PASSES; pass++) {
		for (unsigned int i = 0; i < c->loaded.n_programs; i++) {
			const struct bpf_program *program = c->loaded.programs[i];
			const char *name = bpf_program__name(program);
			uint64_t missed = 0, more = 0;
			bool known;

			if (capture__pass(program) != pass)
				continue;
			known = program_misses(program, &missed);
			if (is_kprobe(program) && n_link < c->n_links)
				known = link_misses(c->links[n_link], &more) && known;
			n_link++;
			/* of these the programs keep count themselves, entry by entry */
			if (is_unix_return(name) && (!known || c->tier == TIER_KPROBE)) {
				known = true;
				missed = !strcmp(name, "on_unix_paged") ?
						 0 :
						 unix_misses(c, !strcmp(name, "on_unix_sent"));
				more = 0;
			}
			if (n < max) {
				snprintf(ret[n].program, sizeof(ret[n].program), "%s", name);
				ret[n].known = known;
				ret[n].missed = missed + more;
			}
			n++;
		}
	}
	return add_left(c, ret, n, max);
}

int capture__check_misses(struct capture *c, struct err *err)
{
	struct capture_miss misses[CAPTURE_LINKS_MAX];
	unsigned int n = capture__misses(c, misses, CAPTURE_LINKS_MAX);
	struct tier_report report;
	uint64_t sum = 0;

	capture__sweep_tick(c);
	for (unsigned int i = 0; i < n && i < CAPTURE_LINKS_MAX; i++)
		if (misses[i].known)
			sum += misses[i].missed;
	if (c->tier == TIER_KPROBE || sum <= c->misses_seen ||
	    !tier__possible(TIER_KPROBE, &c->features, &report))
		return 0;
	c->misses_seen = sum;
	return capture__demote(c, TIER_KPROBE, err);
}
