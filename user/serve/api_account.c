// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <poll.h>

#include "base/clock.h"
#include "serve/api_impl.h"
#include "supervise/control.h"

/* So old it may be; whoever has it written again waits so long for that. */
#define FRESH_NS 1000000000ull
#define WAIT_MS 500

void api__give_account(struct api *api, const struct live *live, int control)
{
	api->live = live;
	api->control = control;
}

/* Has it written again, and waits for that; 0, or as live__read(). */
static int read_fresh(const struct api *api, struct buf *out)
{
	uint64_t now = clock__boot_ns(), written = 0;
	int ret = live__read(api->live, out, &written);

	if (!ret && now - written < FRESH_NS)
		return 0;
	/* Nobody listens any more, where the run is about to end: then the last one stands. */
	if (control__send(api->control, CONTROL_ACCOUNT, NULL, 0))
		return ret;
	for (int ms = 0; ms < WAIT_MS && written < now; ms++) {
		poll(NULL, 0, 1);
		ret = live__read(api->live, out, &written);
	}
	return ret;
}

void api__account(struct ask *ask)
{
	struct buf text = { 0 };
	int ret;

	if (!ask->api->live) {
		ask__error(ask, 404, "there is no account here",
			   "this sonde only shows a store and traces nothing: the account of a run "
			   "is with the process that traces",
			   "ask where it was started with --ui (sonde trace --ui, sonde agent "
			   "--ui), or let it write a file: --ledger FILE");
		return;
	}
	ret = read_fresh(ask->api, &text);
	if (ret)
		ask__error(ask, 503, "the account is not there yet",
			   ret == -ENODATA ? "the process that traces has not written it" :
					     "it cannot be read",
			   "ask again");
	else
		buf__add(ask__text(ask), text.at, text.len);
	buf__free(&text);
}
