// SPDX-License-Identifier: Apache-2.0
// The keys, on "?".

import { h } from "./dom.js";

const KEYS = [
	["Everywhere", [["1 2 3 4", "Traces, Map, Services, Health"], ["/", "search"], ["Esc", "leave a field; close; go back"], ["?", "this list"]]],
	["Traces", [["j k", "next, previous"], ["Enter", "open"], ["e", "errors only"], ["l", "live on or off"], ["x", "mark for a diff of two"]]],
	["Trace", [["j k", "next, previous span"], ["Enter", "details of the span"], ["← →", "collapse, expand"], ["n", "next error"],
		["c", "critical path"], ["[ ]", "collapse all, expand all"], ["z", "zoom to the span"], ["0", "the whole trace"], ["y", "copy as text"]]],
	["Map", [["e", "errors only"]]],
];

let dialog = null;
let before = null;

export const help = {
	get open() {
		return Boolean(dialog?.open);
	},
	show() {
		before = document.activeElement;
		dialog = h("dialog", { class: "help", "aria-label": "Keyboard" },
			h("div", { class: "help-groups" }, KEYS.map(([title, keys]) => h("section", {},
				h("h2", {}, title),
				h("dl", {}, keys.map(([key, what]) => [h("dt", {}, key.split(" ").map((k) => h("kbd", {}, k))), h("dd", {}, what)]))))),
			h("button", { type: "button", onclick: () => help.close() }, "Close"));
		dialog.addEventListener("close", () => {
			dialog?.remove();
			dialog = null;
			before?.focus?.();
		});
		document.body.append(dialog);
		dialog.showModal();
	},
	close() {
		dialog?.close();
	},
};
