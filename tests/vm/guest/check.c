// SPDX-License-Identifier: Apache-2.0
/* FNV-1a over what a busy path says of itself; by itself, as both programs need it. */
#include "peer.h"

uint32_t busy__check(unsigned int pair, unsigned int client, unsigned int server, unsigned int n)
{
	uint32_t hash = 2166136261u;
	unsigned int words[4] = { pair, client, server, n };

	for (int i = 0; i < 4; i++)
		hash = (hash ^ words[i]) * 16777619u;
	return hash;
}
