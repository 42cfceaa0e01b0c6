// SPDX-License-Identifier: Apache-2.0
#include "serve/answer.h"

#include "core/otlp_json.h"

void answer__error(struct answer *a, unsigned int status, const char *what, const char *why,
		   const char *todo)
{
	struct buf *text;

	body__free(a->body);
	a->body = body__new();
	a->status = status;
	a->type = TYPE_JSON;
	if (!a->body)
		return;
	text = body__text(a->body);
	buf__add_str(text, "{\"error\":{\"what\":");
	otlp_json__string(text, view_of(what));
	buf__add_str(text, ",\"why\":");
	otlp_json__string(text, view_of(why));
	buf__add_str(text, ",\"do\":");
	otlp_json__string(text, view_of(todo));
	buf__add_str(text, "}}\n");
}
