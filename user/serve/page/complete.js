// SPDX-License-Identifier: Apache-2.0
// What a field may be filled with, from what the store holds: service, operation, attribute and its values.

import { get } from "./api.js";
import { h, replace } from "./dom.js";

let serial = 0;

// Gives an input a list of proposals; ask(text) -> Promise of [value].
export function complete(input, ask) {
	const id = `proposals-${++serial}`;
	const list = h("datalist", { id });
	input.setAttribute("list", id);
	input.setAttribute("autocomplete", "off");
	let asked = null;
	const fill = async () => {
		const text = input.value;
		if (asked === text) return;
		asked = text;
		const values = await ask(text).catch(() => []);
		if (asked !== text) return;
		replace(list, values.slice(0, 200).map((value) => h("option", { value })));
	};
	input.addEventListener("focus", () => {
		asked = null;
		fill();
	});
	input.addEventListener("input", fill);
	return list;
}

export async function services() {
	return (await get("api/v1/services")).services.map((s) => s.name);
}

export async function operations(service) {
	if (!service) return [];
	const answer = await get(`api/v1/operations?service=${encodeURIComponent(service)}`);
	return [...new Set(answer.operations.map((o) => o.name))];
}

// "http.re" -> keys; "http.request.method=" -> "http.request.method=GET", …
export async function attributes(text) {
	const at = text.indexOf("=");
	if (at < 0) {
		const { tagNames = [] } = await get("tempo/api/search/tags");
		return tagNames.map((key) => `${key}=`);
	}
	const key = text.slice(0, at);
	const { tagValues = [] } = await get(`tempo/api/search/tag/${encodeURIComponent(key)}/values`);
	return tagValues.map((value) => `${key}=${value}`);
}
