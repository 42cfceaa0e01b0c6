/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line an event, on standard error. Commands and roles log; library code returns errors.
 * Never payload. Rate-limited: past a burst, lines of one call site are counted and said later.
 */
#ifndef SONDE_BASE_LOG_H
#define SONDE_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log_config {
	enum log_level level;
	bool json;
	const char *role; /* static string: "probe", "trace", "ship", … or NULL */
};
void log__configure(const struct log_config *config);

/*
 * Where lines go from here on: standard error until then, and each waits for whoever reads it. waits false:
 * what a stopped terminal or a full pipe has no room for is counted and said later.
 */
void log__to(int fd, bool waits);

/*
 * `what failed, on what, why: what to do`. No trailing newline.
 */
void log__line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define log_error(...) log__line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log__line(LOG_WARN, __VA_ARGS__)
#define log_info(...) log__line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log__line(LOG_DEBUG, __VA_ARGS__)

#endif
