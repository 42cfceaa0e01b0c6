// SPDX-License-Identifier: Apache-2.0
// How sonde itself is: the store, and the account with every loss under its reason.

import { get } from "./api.js";
import { code, h, name, notice, replace } from "./dom.js";
import { ago, bytes, clock, count, day, plural, unixMs } from "./format.js";

const EVERY_MS = 5000;
// The identities of the account, as "what there was = where it went".
const LINES = {
	records: ["Records from the kernel", "attempted", ["delivered", "lost"]],
	bytes: ["Bytes of TCP", "sequence", ["captured", "counted", "gap"]],
	exchanges: ["Exchanges", "begun", ["open", "spans", "filtered", "dropped"]],
};
const SINK = ["spans", ["unsampled", "acked", "queued", "rejected", "dropped"]];

export function open(root) {
	const abort = new AbortController();
	const load = async () => {
		try {
			const health = await get("api/v1/health", abort.signal);
			let account = null;
			try {
				account = await get("api/v1/account", abort.signal);
			} catch (error) {
				if (error.status !== 404) throw error;
			}
			replace(root, store(health), account ? accountCards(account) : absent());
		} catch (error) {
			if (error.name === "AbortError") return;
			replace(root, notice(error, load));
		}
	};
	load();
	const timer = setInterval(() => !document.hidden && !root.contains(document.activeElement) && load(), EVERY_MS);
	return {
		close() {
			clearInterval(timer);
			abort.abort();
		},
	};
}

function store({ status, version, store: s = {} }) {
	const number = (text, what, kind) => h("div", {}, h("b", { class: kind }, text), h("span", {}, what));
	const when = (nano) => (nano && nano !== "0" ? `${day(unixMs(nano))} ${clock(unixMs(nano), false)} (${ago(unixMs(nano), Date.now())})` : "–");
	return h("section", { class: "card" }, h("h2", {}, "Store"),
		h("div", { class: "numbers" }, number(status, `sonde ${version}`, status === "ok" ? undefined : "bad"), number(count(s.spans || 0), "spans"), number(bytes(s.bytes || 0), "on disk"),
			number(count(s.partitions || 0), "partitions"), number(count(s.damaged || 0), "damaged", s.damaged ? "bad" : undefined)),
		h("p", { class: "soft" }, `oldest ${when(s.oldest_unix_nano)}, newest ${when(s.newest_unix_nano)}`),
		s.damaged ? h("p", { class: "note" }, `${plural(s.damaged, "partition")} could not be read and ${s.damaged === 1 ? "was" : "were"} set aside; the others are whole.`) : null);
}

function absent() {
	return h("section", { class: "card" }, h("h2", {}, "Account"),
		h("p", { class: "soft" }, "What serves this page traces nothing itself, or its account is not there yet. ", code("sonde trace --ledger FILE"), " writes the account of a run."));
}

function accountCards(a) {
	const known = new Set([...Object.keys(LINES), "sinks", "unseen", "blind"]);
	return h("div", { class: "grid2" },
		Object.entries(LINES).filter(([key]) => a[key]).map(([key, [title, whole, parts]]) => line(title, a[key], whole, parts)),
		Object.entries(a.sinks || {}).map(([sink, values]) => line(["Sink ", name(sink, 60)], values, ...SINK)),
		a.unseen ? pairs("Unseen", "what this tier cannot capture", a.unseen) : null,
		a.blind ? pairs("Blind", "what no counter of an account can see: misses of the hooks", a.blind) : null,
		Object.entries(a).filter(([key, value]) => !known.has(key) && value && typeof value === "object").map(([key, value]) => pairs(title(key), "", value)));
}

const title = (key) => key[0].toUpperCase() + key.slice(1).replaceAll("_", " ");
const total = (value) => (typeof value === "object" && value ? Object.values(value).reduce((sum, v) => sum + Number(v), 0) : Number(value ?? 0));
const LOSSES = new Set(["lost", "dropped", "rejected", "gap"]);

function line(heading, values, whole, parts) {
	const rows = parts.map((part) => {
		const sum = total(values[part]);
		const reasons = typeof values[part] === "object" ? Object.entries(values[part]) : [];
		const bad = sum && LOSSES.has(part) ? "bad" : undefined;
		return [h("tr", {}, h("td", {}, part), h("td", { class: `n ${bad || ""}` }, count(sum))),
			reasons.map(([reason, n]) => h("tr", {}, h("td", { class: "soft" }, "– ", name(reason, 80)), h("td", { class: `n ${bad || ""}` }, count(n))))];
	});
	const residual = Number(values.residual ?? 0);
	return h("section", { class: "card" }, h("h2", {}, heading), h("table", {}, h("tbody", {},
		h("tr", {}, h("th", {}, whole), h("th", { class: "n" }, count(total(values[whole])))), rows,
		Object.entries(values).filter(([key]) => ![whole, ...parts, "residual"].includes(key)).map(([key, v]) =>
			h("tr", {}, h("td", { class: "soft" }, name(title(key), 60)), h("td", { class: "n soft" }, count(total(v))))),
		h("tr", {}, h("td", {}, residual ? h("b", { class: "bad" }, "does not balance") : "balances"), h("td", { class: `n${residual ? " bad" : ""}` }, residual ? String(residual) : "✓")))));
}

function pairs(heading, note, values) {
	const flat = [];
	const walk = (prefix, value) => {
		for (const [key, v] of Object.entries(value)) {
			if (v && typeof v === "object") walk(`${prefix}${key} `, v);
			else flat.push([prefix + key, v]);
		}
	};
	walk("", values);
	return h("section", { class: "card" }, h("h2", {}, heading), note ? h("p", { class: "soft" }, note) : null,
		flat.length ? h("table", {}, h("tbody", {}, flat.map(([key, v]) => h("tr", {}, h("td", {}, name(key, 80)),
			h("td", { class: "n" }, typeof v === "number" ? (Number.isInteger(v) ? count(v) : v.toFixed(3)) : name(String(v), 120)))))) : h("p", { class: "soft" }, "Nothing."));
}
