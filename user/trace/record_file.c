// SPDX-License-Identifier: Apache-2.0
#include "trace/record_file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define HOST_ATTRIBUTES_MAX_BYTES 65536

void trace_settings__to_engine(const struct trace_settings *s, const uint8_t *host_attributes,
			       struct engine_config *ret)
{
	*ret = (struct engine_config){
		.sampler = s->sampler,
		.sampler_ratio = s->sampler_ratio,
		.headers = s->headers,
		.query_values = s->query_values,
		.conns_max = s->conns_max,
		.exchanges_max = s->exchanges_max,
		.processes_max = s->processes_max,
		.held_max = s->held_max,
		.held_bytes_max = s->held_bytes_max,
		.host_attributes = host_attributes,
		.host_attributes_bytes = s->host_attributes_bytes,
		.n_host_attributes = s->n_host_attributes,
	};
	memcpy(ret->fleet_key, s->fleet_key, sizeof(ret->fleet_key));
	memcpy(ret->boot_id, s->boot_id, sizeof(ret->boot_id));
	memcpy(ret->host_key, s->host_key, sizeof(ret->host_key));
	memcpy(ret->known_methods, s->known_methods, sizeof(ret->known_methods));
	ret->known_methods[sizeof(ret->known_methods) - 1] = 0;
}

void record_file__begin(struct buf *out, const struct trace_settings *settings,
			const uint8_t *host_attributes)
{
	struct record_file_header header = {
		.magic = RECORD_FILE_MAGIC,
		.byte_order = RECORD_FILE_BYTE_ORDER,
		.version = RECORD_FILE_VERSION,
		.abi = SONDE_ABI,
		.settings_bytes = sizeof(*settings),
	};

	memcpy(header.fleet_key, settings->fleet_key, sizeof(header.fleet_key));
	memcpy(header.boot_id, settings->boot_id, sizeof(header.boot_id));
	memcpy(header.host_key, settings->host_key, sizeof(header.host_key));
	buf__add(out, &header, sizeof(header));
	buf__add(out, settings, sizeof(*settings));
	buf__add(out, host_attributes, settings->host_attributes_bytes);
}

static int read_all(int fd, void *into, size_t len)
{
	uint8_t *at = into;

	while (len) {
		ssize_t n = read(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENODATA;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int record_file__open(int fd, struct trace_settings *ret_settings, struct buf *ret_host_attributes,
		      struct err *err)
{
	struct record_file_header header;
	struct trace_settings s;
	uint8_t *at;

	if (read_all(fd, &header, sizeof(header)))
		return err__set(err, -ENODATA, "it is shorter than a record file's header");
	if (memcmp(header.magic, RECORD_FILE_MAGIC, sizeof(header.magic)))
		return err__set(err, -EINVAL, "it is not a file that `sonde record` wrote");
	if (header.byte_order != RECORD_FILE_BYTE_ORDER)
		return err__set(
			err, -EINVAL,
			"it was recorded on a machine with the other byte order: replay it there");
	if (header.version != RECORD_FILE_VERSION)
		return err__set(err, -EINVAL,
				"it has record format version %u, this sonde reads version %u: use "
				"the sonde that recorded it",
				header.version, RECORD_FILE_VERSION);
	if (header.abi != SONDE_ABI || header.settings_bytes != sizeof(s))
		return err__set(err, -EINVAL,
				"its kernel records have layout %u (%u bytes of settings), this "
				"sonde reads layout %u (%zu bytes): use the sonde that recorded it",
				header.abi, header.settings_bytes, SONDE_ABI, sizeof(s));
	if (read_all(fd, &s, sizeof(s)) || s.host_attributes_bytes > HOST_ATTRIBUTES_MAX_BYTES)
		return err__set(err, -EINVAL, "its settings are damaged");
	at = buf__reserve(ret_host_attributes, s.host_attributes_bytes + 1);
	if (!at)
		return err__set(err, -ENOMEM, "out of memory");
	if (read_all(fd, at, s.host_attributes_bytes))
		return err__set(err, -EINVAL, "its settings are damaged");
	ret_host_attributes->len = s.host_attributes_bytes;
	memcpy(s.fleet_key, header.fleet_key, sizeof(s.fleet_key));
	memcpy(s.boot_id, header.boot_id, sizeof(s.boot_id));
	memcpy(s.host_key, header.host_key, sizeof(s.host_key));
	*ret_settings = s;
	return 0;
}
