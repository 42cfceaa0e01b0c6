/* SPDX-License-Identifier: Apache-2.0 */
/* Where a connection goes, as attributes. */
#ifndef SONDE_CORE_ENDPOINTS_H
#define SONDE_CORE_ENDPOINTS_H

#include "core/exchange.h"
#include "core/span.h"

#define ENDPOINTS_ADDRESS_MAX_BYTES 46 /* the longest form, and one to spare */

/*
 * An address as text: IPv4 dotted, IPv6 by RFC 5952, an IPv4 address mapped into IPv6 as IPv4.
 * family: SONDE_AF_*. `to` has ENDPOINTS_ADDRESS_MAX_BYTES. Returns the length; 0: it has no text.
 */
size_t endpoints__format(char *to, uint16_t family, const uint8_t address[16]);
/* The same, but an IPv4 address that is mapped into IPv6 stays one (`::ffff:192.0.2.1`). */
size_t endpoints__format_as_is(char *to, uint16_t family, const uint8_t address[16]);

/*
 * network.peer.address and .port (network.transport for Unix sockets, which have neither), unless
 * the span has them already.
 */
void endpoints__describe(const struct endpoints *endpoints, struct span *span);

#endif
