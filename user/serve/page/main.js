// SPDX-License-Identifier: Apache-2.0
// The frame: which view the address names, the links between views, the keys that all views have.

import { formatHash, parseHash } from "./query.js";
import { h, notice, replace } from "./dom.js";
import { help } from "./help.js";
import * as traces from "./view_traces.js";
import * as trace from "./view_trace.js";
import * as map from "./view_map.js";
import * as services from "./view_services.js";
import * as health from "./view_health.js";
import * as diff from "./view_diff.js";

const VIEWS = { traces, trace, map, services, health, diff };
const LINKS = [["traces", "Traces"], ["map", "Map"], ["services", "Services"], ["health", "Health"]];
const BELONGS = { trace: "traces", diff: "traces" };

const main = document.getElementById("main");
const nav = document.querySelector("nav");
let current = null;
let state = null;

const page = {
	// To another state; replace: the one before is not worth going back to (typing, moving a cursor).
	go(next, { replace: instead = false } = {}) {
		const hash = formatHash(next);
		if (hash === location.hash) return;
		if (!instead) {
			location.hash = hash;
			return;
		}
		history.replaceState(null, "", hash);
		follow();
	},
	title(text) {
		document.title = text ? `${text} – sonde` : "sonde";
	},
	get state() {
		return state;
	},
};

function follow() {
	const next = parseHash(location.hash);
	const before = state;
	state = next;
	drawNav();
	if (current && before.view === next.view && before.id === next.id && current.update) {
		current.update(next);
		return;
	}
	current?.close?.();
	replace(main);
	main.className = `view-${next.view}`;
	page.title(LINKS.find(([view]) => view === next.view)?.[1]);
	try {
		current = VIEWS[next.view].open(main, next, page);
	} catch (error) {
		current = null;
		replace(main, notice(error));
		throw error;
	}
}

function drawNav() {
	const here = BELONGS[state.view] || state.view;
	replace(nav, LINKS.map(([view, text]) =>
		h("a", { href: `#/${view}`, "aria-current": view === here ? "page" : undefined }, text)));
}

const typing = (at) => at instanceof HTMLElement && (at.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName));

document.addEventListener("keydown", (event) => {
	if (event.ctrlKey || event.metaKey || event.altKey) return;
	if (typing(event.target)) {
		if (event.key === "Escape") {
			event.target.blur();
			main.focus({ preventScroll: true });
		}
		return;
	}
	if (help.open) {
		if (event.key === "Escape" || event.key === "?") {
			help.close();
			event.preventDefault();
		}
		return;
	}
	if (current?.keys?.(event)) {
		event.preventDefault();
		return;
	}
	const at = Number(event.key);
	if (event.key === "?") help.show();
	else if (at >= 1 && at <= LINKS.length) page.go({ view: LINKS[at - 1][0] });
	else if (event.key === "/") {
		const field = main.querySelector("input[type=search], input");
		if (!field) return;
		field.focus();
		field.select();
	} else return;
	event.preventDefault();
});

document.getElementById("help-button").addEventListener("click", () => help.show());
document.querySelector(".skip").addEventListener("click", (event) => {
	event.preventDefault();
	main.focus();
});
window.addEventListener("hashchange", follow);
follow();
