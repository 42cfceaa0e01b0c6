/* SPDX-License-Identifier: Apache-2.0 */
/* Setting parts of an OTLP sink: shared by the environment and the configuration file. */
#ifndef SONDE_SHIP_CONFIG_H
#define SONDE_SHIP_CONFIG_H

#include "ship/ship.h"

/* Replaces *at by a copy of value (NULL: none). 0 or -ENOMEM. */
int config__set(char **at, const char *value);
/* An http or https URL with a host; where says who wants it. 0, -EINVAL with err, -ENOMEM. */
int config__check_url(const char *url, const char *where, struct err *err);
/* scheme://authority of url with gRPC's method as path. */
int config__set_grpc(struct ship_otlp *otlp, const char *url);
/* Adds or replaces; what cannot be sent is warned about and left out. 0 or -ENOMEM. */
int config__add_header(struct ship_otlp *otlp, const char *name, const char *value,
		       struct otel_warnings *warnings);
/* "name=value,name2=value2", percent-encoded; name is for the warning. 0 or -ENOMEM. */
int config__add_header_list(struct ship_otlp *otlp, const char *name, const char *list,
			    struct otel_warnings *warnings);

#endif
