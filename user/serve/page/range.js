// SPDX-License-Identifier: Apache-2.0
// The field for the time that a view of many spans is of.

import { h } from "./dom.js";
import { changed, one, RANGES } from "./query.js";

export function rangeControl(state, page) {
	const input = h("select", { name: "range", onchange: () => page.go(changed(page.state, { range: input.value, from: "", to: "" })) },
		[["", "all"], ...Object.keys(RANGES).map((r) => [r, `last ${r}`])].map(([value, text]) => h("option", { value }, text)));
	input.value = one(state, "range");
	return h("label", { class: "field" }, h("span", {}, "Time"), input);
}
