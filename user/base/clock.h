/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's clocks in nanoseconds. Not for the core: there, time comes in messages. */
#ifndef SONDE_BASE_CLOCK_H
#define SONDE_BASE_CLOCK_H

#include <stdint.h>

/* CLOCK_BOOTTIME: never steps, goes on in suspend. All of sonde's times are in it. */
uint64_t clock__boot_ns(void);
/* CLOCK_REALTIME, since the epoch. */
uint64_t clock__epoch_ns(void);
/* What this thread has had of a processor: what others take of the machine is not in it. */
uint64_t clock__thread_ns(void);
/* Sleeps. */
void clock__sleep_ms(unsigned int ms);

#endif
