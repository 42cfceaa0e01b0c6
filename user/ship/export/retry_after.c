// SPDX-License-Identifier: Apache-2.0
/* Retry-After: seconds, or an HTTP date in one of its three forms (RFC 9110 5.6.7). */
#include "ship/export/retry.h"

#include <limits.h>
#include <string.h>

/* Longer waits are no different: the batch is given up before. */
#define WAIT_MAX_S (7 * 86400)

struct cursor {
	const char *at, *end;
};

static bool literal(struct cursor *c, const char *text)
{
	size_t n = strlen(text);

	if ((size_t)(c->end - c->at) < n || memcmp(c->at, text, n))
		return false;
	c->at += n;
	return true;
}

/* Exactly n digits (a leading space counts as 0 in asctime's day). */
static bool digits(struct cursor *c, int n, bool space, int *ret)
{
	int value = 0;

	if (c->end - c->at < n)
		return false;
	for (int i = 0; i < n; i++) {
		char d = *c->at++;

		if (d == ' ' && space && !i)
			d = '0';
		if (d < '0' || d > '9')
			return false;
		value = value * 10 + (d - '0');
	}
	*ret = value;
	return true;
}

static bool one_of(struct cursor *c, const char *const *names, int n, int *ret)
{
	for (int i = 0; i < n; i++) {
		if (literal(c, names[i])) {
			*ret = i;
			return true;
		}
	}
	return false;
}

static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
				      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
static const char *const days[] = { "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun" };
static const char *const long_days[] = { "Monday", "Tuesday",  "Wednesday", "Thursday",
					 "Friday", "Saturday", "Sunday" };

struct date {
	int year, month, day, hour, minute, second; /* month from 0 */
};

static bool clock_time(struct cursor *c, struct date *d)
{
	return digits(c, 2, false, &d->hour) && literal(c, ":") &&
	       digits(c, 2, false, &d->minute) && literal(c, ":") &&
	       digits(c, 2, false, &d->second);
}

/* Sun, 06 Nov 1994 08:49:37 GMT */
static bool imf_fixdate(struct cursor c, struct date *d)
{
	int day;

	return one_of(&c, days, 7, &day) && literal(&c, ", ") && digits(&c, 2, false, &d->day) &&
	       literal(&c, " ") && one_of(&c, months, 12, &d->month) && literal(&c, " ") &&
	       digits(&c, 4, false, &d->year) && literal(&c, " ") && clock_time(&c, d) &&
	       literal(&c, " GMT") && c.at == c.end;
}

/* Sunday, 06-Nov-94 08:49:37 GMT; a year that seems more than 50 years ahead is in the past. */
static bool rfc850(struct cursor c, struct date *d)
{
	int day;

	if (!one_of(&c, long_days, 7, &day) || !literal(&c, ", ") ||
	    !digits(&c, 2, false, &d->day) || !literal(&c, "-") ||
	    !one_of(&c, months, 12, &d->month) || !literal(&c, "-") ||
	    !digits(&c, 2, false, &d->year) || !literal(&c, " ") || !clock_time(&c, d) ||
	    !literal(&c, " GMT") || c.at != c.end)
		return false;
	d->year += d->year < 70 ? 2000 : 1900;
	return true;
}

/* Sun Nov  6 08:49:37 1994 */
static bool asctime_date(struct cursor c, struct date *d)
{
	int day;

	return one_of(&c, days, 7, &day) && literal(&c, " ") && one_of(&c, months, 12, &d->month) &&
	       literal(&c, " ") && digits(&c, 2, true, &d->day) && literal(&c, " ") &&
	       clock_time(&c, d) && literal(&c, " ") && digits(&c, 4, false, &d->year) &&
	       c.at == c.end;
}

/* Seconds since the epoch, proleptic Gregorian calendar; years count from March, leap day last. */
static int64_t epoch_of(const struct date *d)
{
	int64_t y = d->month < 2 ? d->year - 1 : d->year;
	int64_t m = d->month < 2 ? d->month + 10 : d->month - 2;
	int64_t day = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + d->day - 1 - 719468;

	return day * 86400 + d->hour * 3600 + d->minute * 60 + d->second;
}

static int64_t seconds_of(struct view v)
{
	int64_t s = 0;

	if (!v.len)
		return -1;
	for (size_t i = 0; i < v.len; i++) {
		if (v.at[i] < '0' || v.at[i] > '9')
			return -1;
		if (s < WAIT_MAX_S)
			s = s * 10 + (v.at[i] - '0');
	}
	return s;
}

int64_t retry__after_ms(struct view v, int64_t epoch_s)
{
	struct cursor c;
	struct date d;
	int64_t s;

	while (v.len && (*v.at == ' ' || *v.at == '\t'))
		v = (struct view){ v.at + 1, v.len - 1 };
	while (v.len && strchr(" \t\r\n", v.at[v.len - 1]))
		v.len--;
	s = seconds_of(v);
	if (s < 0) {
		c = (struct cursor){ v.at, v.at + v.len };
		if (!v.len || (!imf_fixdate(c, &d) && !rfc850(c, &d) && !asctime_date(c, &d)))
			return -1;
		if (d.day < 1 || d.day > 31 || d.hour > 23 || d.minute > 59 || d.second > 60)
			return -1;
		s = epoch_of(&d) - epoch_s;
		if (s < 0)
			s = 0;
	}
	return 1000 * (s > WAIT_MAX_S ? WAIT_MAX_S : s);
}
