// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A second's worth of lines; what is beyond is counted and said with the next second's first line. */
#define LINES_A_SECOND 50

static struct log_config config = { .level = LOG_INFO };
static int to = STDERR_FILENO;
static bool waits = true;
static time_t second;
static unsigned int lines, suppressed;

static const char *const level_names[] = { "error", "warn", "info", "debug" };

void log__configure(const struct log_config *c)
{
	config = *c;
}

void log__to(int fd, bool may_wait)
{
	to = fd;
	waits = may_wait;
}

/* False: not a byte of it. Nothing can be said where there is nowhere to say it. */
static bool write_all(const char *out, size_t n)
{
	struct pollfd p = { .fd = to, .events = POLLOUT };

	return (waits || poll(&p, 1, 0) > 0) && write(to, out, n) > 0;
}

/* Lines quote names from outside: nothing in them may steer a terminal or break a line. */
static void clean(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

static bool write_line(enum log_level level, const char *text, time_t now)
{
	char out[1400];
	size_t n;

	if (config.json) {
		n = (size_t)
			snprintf(out, sizeof(out),
				 "{\"time\":%lld,\"level\":\"%s\",\"role\":\"%s\",\"message\":\"",
				 (long long)now, level_names[level],
				 config.role ? config.role : "");
		for (const char *s = text; *s && n < sizeof(out) - 8; s++) {
			if (*s == '"' || *s == '\\')
				out[n++] = '\\';
			out[n++] = *s;
		}
		n += (size_t)snprintf(out + n, sizeof(out) - n, "\"}\n");
	} else {
		n = (size_t)snprintf(out, sizeof(out), "sonde: %s%s%s\n",
				     level == LOG_ERROR ? "" : level_names[level],
				     level == LOG_ERROR ? "" : ": ", text);
		if (n >= sizeof(out))
			n = sizeof(out) - 1;
	}
	return write_all(out, n);
}

void log__line(enum log_level level, const char *fmt, ...)
{
	struct timespec now;
	char text[1024];
	va_list ap;

	if (level > config.level)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	if (now.tv_sec != second) {
		if (suppressed) {
			snprintf(text, sizeof(text), "%u lines were left out", suppressed);
			if (write_line(LOG_WARN, text, now.tv_sec))
				suppressed = 0;
		}
		second = now.tv_sec;
		lines = 0;
	}
	if (lines++ >= LINES_A_SECOND && level != LOG_ERROR) {
		suppressed++;
		return;
	}
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	clean(text);
	if (!write_line(level, text, now.tv_sec))
		suppressed++;
}
