// SPDX-License-Identifier: Apache-2.0
#include "serve/role.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "serve/http.h"
#include "supervise/control.h"
#include "supervise/sandbox.h"

static volatile int stop;

static void on_signal(int sig)
{
	stop = 1;
}

/*
 * The folders above it may be closed to whom we become. alone: as the owner; else with an uid of our own, in
 * the group that the owner lets read.
 */
static int go_to_store(const char *folder, bool alone, struct sandbox *sandbox, struct err *err)
{
	struct stat st;

	if (chdir(folder) || stat(".", &st))
		return err__set(err, -errno, "the store %s cannot be entered: %s", folder,
				strerror(errno));
	sandbox->gid = st.st_gid;
	if (alone)
		sandbox->uid = st.st_uid;
	return 0;
}

static int serve(const struct serve_config *config, int listening, int control, uid_t uid,
		 bool alone, struct err *err)
{
	/* Where it cannot be mapped, there is no account to be seen; all else is. */
	const struct live *live = alone ? NULL : live__map(FD_LIVE);
	struct sandbox_path path = { ".", false };
	struct sandbox sandbox = { .role = ROLE_SERVE, .uid = uid, .paths = &path, .n_paths = 1 };
	struct api *api = api__new(".");
	struct http *http = NULL;
	struct mhd mhd;
	int ret = api ? mhd__load(&mhd, err) : -ENOMEM;

	if (!ret && live)
		api__give_account(api, live, control);
	if (!ret)
		ret = http__new(&http, &mhd, config, api, listening, err);
	if (!ret)
		ret = go_to_store(config->folder, alone, &sandbox, err);
	if (!ret)
		ret = sandbox__enter(&sandbox, err);
	if (!ret && control >= 0)
		control__send(control, CONTROL_READY, NULL, 0);
	if (!ret)
		ret = http__run(http, control, &stop);
	http__free(http);
	api__free(api);
	live__unmap(live);
	return ret;
}

static void take_signals(void)
{
	struct sigaction end = { .sa_handler = on_signal }, ignore = { .sa_handler = SIG_IGN };

	sigaction(SIGTERM, &end, NULL);
	sigaction(SIGINT, &end, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
}

int serve__main(uid_t uid)
{
	struct serve_config config = { 0 };
	struct err err = { "" };
	int ret = serve_config__take(&config, FD_CONFIG, &err);

	take_signals();
	if (!ret)
		ret = serve(&config, FD_LISTEN, FD_CONTROL, uid, false, &err);
	if (ret) {
		if (!*err.text)
			err__set(&err, ret, "%s", strerror(-ret));
		control__send(FD_CONTROL, CONTROL_FAILED, err.text, strlen(err.text));
	}
	serve_config__free(&config);
	return ret ? 1 : 0;
}

int serve__alone(const struct serve_config *config, int listening, const char *url)
{
	struct err err = { "" };
	int ret;

	take_signals();
	fprintf(stderr, "sonde: traces of %s are shown at %s; Ctrl-C ends\n", config->folder, url);
	ret = serve(config, listening, -1, 0, true, &err);
	if (ret)
		fprintf(stderr, "sonde serve: %s\n", *err.text ? err.text : strerror(-ret));
	return ret ? 1 : 0;
}
