// SPDX-License-Identifier: Apache-2.0
#include "core/endpoints.h"

#include <arpa/inet.h>
#include <string.h>

size_t endpoints__format(char *to, uint16_t family, const uint8_t address[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	bool v4 = family == SONDE_AF_INET;

	if (!v4 && family != SONDE_AF_INET6)
		return 0;
	if (!v4 && !memcmp(address, mapped, sizeof(mapped))) {
		v4 = true;
		address += sizeof(mapped);
	}
	if (!inet_ntop(v4 ? AF_INET : AF_INET6, address, to, ENDPOINTS_ADDRESS_MAX_BYTES))
		return 0;
	return strlen(to);
}

void endpoints__describe(const struct endpoints *endpoints, struct span *span)
{
	char text[ENDPOINTS_ADDRESS_MAX_BYTES], *at;
	size_t n;

	for (unsigned int i = 0; i < span->n_attributes; i++)
		if (span->attributes[i].key == ATTR_NETWORK_PEER_ADDRESS)
			return;
	if (endpoints->family == SONDE_AF_UNIX) {
		span__set_string(span, ATTR_NETWORK_TRANSPORT, VIEW("unix"));
		return;
	}
	n = endpoints__format(text, endpoints->family, endpoints->remote);
	at = n ? span__scratch(span, n) : NULL;
	if (!at)
		return;
	memcpy(at, text, n);
	span__set_string(span, ATTR_NETWORK_PEER_ADDRESS, (struct view){ at, n });
	if (endpoints->remote_port)
		span__set_int(span, ATTR_NETWORK_PEER_PORT, endpoints->remote_port);
}
