// SPDX-License-Identifier: Apache-2.0
#include "ship/role.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "ship/ship.h"
#include "supervise/control.h"
#include "supervise/frames.h"
#include "supervise/sandbox.h"

/* What libc and OpenSSL read to resolve a name and to check a certificate; absent ones are passed over. */
static const char *const system_paths[] = {
	"/etc/resolv.conf",
	"/etc/hosts",
	"/etc/nsswitch.conf",
	"/etc/host.conf",
	"/etc/gai.conf",
	"/etc/services",
	"/etc/protocols",
	"/etc/localtime",
	"/etc/ssl",
	"/etc/pki",
	"/etc/ca-certificates",
	"/usr/share/ca-certificates",
	"/usr/local/share/ca-certificates",
	"/usr/lib/ssl",
	"/etc/ld.so.cache",
	"/lib",
	"/lib64",
	"/usr/lib",
	"/usr/lib64",
	"/run/systemd/resolve",
	"/run/resolvconf",
	"/dev/urandom",
	"/usr/lib/locale",
	"/usr/share/zoneinfo",
};
#define SYSTEM_PATHS (sizeof(system_paths) / sizeof(system_paths[0]))
/* Of each certificate file: its folder, and the folder that a link leads to. */
#define PATHS_MAX (SYSTEM_PATHS + (2 * 3 + 1) * SHIP_SINKS_MAX)

/* Certificates are in it. */
#define CONFIG_MAX_BYTES (32u << 20)

static int read_config(struct ship_config *config, struct err *err)
{
	struct buf text = { .max = CONFIG_MAX_BYTES };
	int ret = buf__read(&text, FD_CONFIG);

	if (!ret)
		ret = ship_config__from_json(config, (const char *)text.at, text.len, err);
	buf__free(&text);
	return ret;
}

/*
 * The folder, not the file: a file that is replaced by another (rotation, Kubernetes' links) is
 * another inode, which a rule for the old one does not show. Files that this uid may not read stay
 * unreadable. Returns how many were added.
 */
static unsigned int allow_folders(struct sandbox_path *paths, const char *file)
{
	char *names[] = { strdup(file), realpath(file, NULL) };
	unsigned int n = 0;

	for (int i = 0; i < 2; i++) {
		char *folder = names[i] ? strdup(dirname(names[i])) : NULL;

		free(names[i]);
		if (folder) /* kept: the sandbox borrows it */
			paths[n++] = (struct sandbox_path){ folder, false };
	}
	return n;
}

static unsigned int allowed_paths(const struct ship_config *config, struct sandbox_path *paths)
{
	unsigned int n = 0;

	for (size_t i = 0; i < SYSTEM_PATHS; i++)
		paths[n++] = (struct sandbox_path){ system_paths[i], false };
	for (uint32_t i = 0; i < config->n_sinks; i++) {
		const struct ship_otlp *otlp = &config->sinks[i].otlp;
		const char *files[] = { otlp->ca_file, otlp->cert_file, otlp->key_file };

		for (int k = 0; k < 3; k++)
			if (config->sinks[i].type == SHIP_OTLP && files[k])
				n += allow_folders(paths + n, files[k]);
		if (config->sinks[i].type == SHIP_STORE)
			paths[n++] = (struct sandbox_path){ config->sinks[i].store.folder, true };
	}
	return n;
}

/* The folders above it may be closed to our uid. Other files have absolute names, or were read before. */
static int go_to_store(const struct ship_config *config, struct err *err)
{
	for (uint32_t i = 0; i < config->n_sinks; i++)
		if (config->sinks[i].type == SHIP_STORE && chdir(config->sinks[i].store.folder))
			return err__set(err, -errno, "the folder %s cannot be entered: %s",
					config->sinks[i].store.folder, strerror(errno));
	return 0;
}

/* Nobody else reads what the role writes; its group where the role that serves is in it. */
static void limit_readers(const struct ship_config *config)
{
	bool shared = false;

	for (uint32_t i = 0; i < config->n_sinks; i++)
		shared = shared ||
			 (config->sinks[i].type == SHIP_STORE && config->sinks[i].store.shared);
	umask(shared ? 027 : 077);
}

int ship__main(uid_t uid)
{
	static struct ship_config config;
	static struct sandbox_path paths[PATHS_MAX];
	struct sandbox sandbox = { .role = ROLE_SHIP, .uid = uid, .paths = paths };
	struct err err = { "" };
	struct frames frames, more;
	struct ship_input inputs[] = { { FD_FRAMES, &frames }, { FD_MORE_FRAMES, &more } };
	bool received = fcntl(FD_MORE_FRAMES_MEMORY, F_GETFD) >= 0;
	void *account;
	int ret;

	account = mmap(NULL, sizeof(struct account), PROT_READ | PROT_WRITE, MAP_SHARED, FD_ACCOUNT,
		       0);
	if (account == MAP_FAILED || frames__map(&frames, FD_FRAMES_MEMORY, false) ||
	    (received && frames__map(&more, FD_MORE_FRAMES_MEMORY, false))) {
		log_error("the ship role cannot map the account and the frames: %s",
			  strerror(errno));
		return 1;
	}
	ret = read_config(&config, &err);
	if (!ret) {
		/* Before the sandbox: libraries load what they need while they still may. */
		curl_global_init(CURL_GLOBAL_DEFAULT);
		limit_readers(&config);
		sandbox.n_paths = allowed_paths(&config, paths);
		ret = go_to_store(&config, &err);
	}
	if (!ret) {
		ret = sandbox__enter(&sandbox, &err);
	}
	if (!ret) {
		control__send(FD_CONTROL, CONTROL_READY, NULL, 0);
		ret = ship__run(&config, inputs, received ? 2 : 1, FD_CONTROL, account, &err);
	}
	if (ret) {
		control__send(FD_CONTROL, CONTROL_FAILED, err.text, strlen(err.text));
		log_error("%s", err.text);
	}
	ship_config__free(&config);
	return ret ? 1 : 0;
}
