// SPDX-License-Identifier: Apache-2.0
#include "core/proto/proto.h"

/* Every protocol that sonde decodes. */
static const struct proto *const protocols[] = {
	&proto_http1,
	&proto_tls,
	&proto_http2,
};

const struct proto *proto__by_verdict(uint8_t verdict)
{
	for (unsigned int i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++)
		if (protocols[i]->verdict == verdict)
			return protocols[i];
	return NULL;
}

const struct proto *proto__by_bytes(struct view first)
{
	for (unsigned int i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++)
		if (protocols[i]->detect(first))
			return protocols[i];
	return NULL;
}
