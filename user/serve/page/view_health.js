// SPDX-License-Identifier: Apache-2.0
// How sonde itself is: the store, and the account with every loss under its reason.

import { get } from "./api.js";
import { code, h, name, notice, replace } from "./dom.js";
import { ago, bytes, clock, count, day, percent, plural, unixMs } from "./format.js";

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
			const account = health.account ? await get("api/v1/account", abort.signal) : null;
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
			number(count(s.partitions || 0), "partitions"), number(count(s.damaged || 0), "damaged", s.damaged ? "bad" : undefined),
			s.unread ? number(count(s.unread), "cannot be read", "bad") : null),
		h("p", { class: "soft" }, `oldest ${when(s.oldest_unix_nano)}, newest ${when(s.newest_unix_nano)}`),
		s.damaged ? h("p", { class: "note" }, `${plural(s.damaged, "partition")} could not be read and ${s.damaged === 1 ? "was" : "were"} set aside; the others are whole.`) : null,
		s.unread ? h("p", { class: "note" }, name(s.why || "", 400)) : null);
}

function absent() {
	return h("section", { class: "card" }, h("h2", {}, "Account"),
		h("p", { class: "soft" }, "What serves this page only shows a store and traces nothing itself. The account is where it was started with ", code("--ui"), ": ", code("sonde trace --ui"), ", ", code("sonde agent --ui"), "; ", code("--ledger FILE"), " writes it to a file."));
}

function accountCards(a) {
	const known = new Set([...Object.keys(LINES), "sinks", "unseen", "blind", "links", "exports", "connections", "cost", "shed", "state", "running", "at_unix_nano", "tier"]);
	return h("div", { class: "grid2" },
		run(a),
		a.connections ? connections(a.connections) : null,
		Object.entries(LINES).filter(([key]) => a[key]).map(([key, [title, whole, parts]]) => line(title, a[key], whole, parts, a.running)),
		Object.entries(a.sinks || {}).map(([sink, values]) => line(["Sink ", name(sink, 60)], values, ...SINK, a.running)),
		a.links ? links(a.links) : null,
		a.cost ? cost(a.cost) : null,
		a.unseen ? pairs("Unseen", "Calls that carried bytes where this tier cannot look, by reason.", a.unseen) : null,
		a.blind ? pairs("Blind", "What no counter of an account can see: hits that no program saw, because another one was running.", a.blind) : null,
		a.shed ? pairs("Shed", "What an agent leaves out to stay within its budget; the lines above balance without it.", a.shed) : null,
		a.exports ? pairs("Exports", "Trace exports of traced programs that could not be read.", a.exports) : null,
		a.state && Object.keys(a.state).length ? pairs("State", "Places of the kernel's maps that there was no room for.", a.state) : null,
		Object.entries(a).filter(([key, value]) => !known.has(key) && value && typeof value === "object").map(([key, value]) => pairs(title(key), "", value)));
}

function run({ tier, running, received, at_unix_nano: at }) {
	return h("section", { class: "card" }, h("h2", {}, "Run"),
		h("table", {}, h("tbody", {},
			row("tier of the hooks", tier || (received ? "none: what others send is received, nothing is traced" : "none: a replay")),
			row("state", running === false ? "ended" : "running"),
			at ? row("account of", `${clock(unixMs(at), false)} (${ago(unixMs(at), Date.now())})`) : null)),
		h("p", { class: "soft" }, code("sonde doctor"), " says why this tier, and what the others would need."));
}

const row = (what, value, bad) => h("tr", {}, h("td", {}, what), h("td", { class: `n${bad ? " bad" : ""}` }, value));

// Connections that no protocol was found on are not lost: they are none of what sonde decodes.
function connections({ seen = 0, joined = 0, not_decoded: other = 0, ...decoded }) {
	return h("section", { class: "card" }, h("h2", {}, "Connections"),
		h("table", {}, h("tbody", {}, row("seen", count(seen)), Object.entries(decoded).map(([protocol, n]) => row(["decoded as ", name(protocol, 40)], count(n))),
			row("not decoded", count(other)), row("met after their first byte", count(joined)))),
		h("p", { class: "soft" }, other ? `${count(other)} of ${plural(seen, "connection")} were not decoded: their first bytes are none of the protocols that sonde knows (encrypted ones are not, either).` : seen ? "Every connection with bytes on it was decoded." : "No connection was seen."));
}

const METHODS = { header: "a propagation header", edge: "the two ends of one connection", thread: "the same thread" };
const REFUSED = { ambiguous: "more than one candidate", none: "no candidate: a root", unproven: "may be told twice: the program has an SDK whose export was not read" };

function links({ agree = 0, disagree = 0, ...l }) {
	const linked = Object.keys(METHODS).reduce((sum, key) => sum + (l[key] || 0), 0);
	return h("section", { class: "card" }, h("h2", {}, "Links"),
		h("table", {}, h("tbody", {}, h("tr", {}, h("th", {}, "linked by"), h("th", { class: "n" }, count(linked))), Object.entries(METHODS).map(([key, text]) => row(text, count(l[key] || 0))),
			h("tr", {}, h("th", {}, "not linked"), h("th", {})), Object.entries(REFUSED).map(([key, text]) => row(text, count(l[key] || 0), key === "ambiguous" && l[key])),
			Object.entries(l).filter(([key]) => !METHODS[key] && !REFUSED[key]).map(([key, n]) => row(name(key, 40), count(n))))),
		h("p", { class: "soft" }, agree + disagree ? `Where a header and the thread both had an opinion, they named the same request in ${percent(agree / (agree + disagree))} of ${plural(agree + disagree, "call")}.` : "No call had both a header and a thread's request to compare."));
}

function cost({ roles = {}, programs_seconds: programs, map_bytes: maps = 0 }) {
	const seconds = (s) => (typeof s === "number" ? `${s.toFixed(2)} s` : "not measured");
	const all = Object.values(roles);
	return h("section", { class: "card" }, h("h2", {}, "What sonde costs"),
		h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, ""), h("th", { class: "n" }, "Processor"), h("th", { class: "n" }, "Memory"))), h("tbody", {},
			Object.entries(roles).map(([role, r]) => h("tr", {}, h("td", {}, name(role, 40)), h("td", { class: "n" }, seconds(r.cpu_seconds)), h("td", { class: "n" }, bytes(r.memory_bytes)))),
			h("tr", {}, h("td", {}, "hooks, in the traced programs' time"), h("td", { class: "n" }, seconds(programs)), h("td", { class: "n" }, bytes(maps))),
			h("tr", {}, h("th", {}, "together"), h("th", { class: "n" }, seconds(all.reduce((sum, r) => sum + r.cpu_seconds, typeof programs === "number" ? programs : 0))),
				h("th", { class: "n" }, bytes(all.reduce((sum, r) => sum + r.memory_bytes, maps)))))));
}

const title = (key) => key[0].toUpperCase() + key.slice(1).replaceAll("_", " ");
const total = (value) => (typeof value === "object" && value ? Object.values(value).reduce((sum, v) => sum + Number(v), 0) : Number(value ?? 0));
const LOSSES = new Set(["lost", "dropped", "rejected", "gap"]);

function line(heading, values, whole, parts, running) {
	const rows = parts.map((part) => {
		const sum = total(values[part]);
		const reasons = typeof values[part] === "object" ? Object.entries(values[part]) : [];
		const bad = sum && LOSSES.has(part) ? "bad" : undefined;
		return [h("tr", {}, h("td", {}, part), h("td", { class: `n ${bad || ""}` }, count(sum))),
			reasons.map(([reason, n]) => h("tr", {}, h("td", { class: "soft" }, "– ", name(reason, 80)), h("td", { class: `n ${bad || ""}` }, count(n))))];
	});
	const residual = Number(values.residual ?? 0);
	// The counters of a run that goes on are read one after the other.
	const odd = residual && !running;
	return h("section", { class: "card" }, h("h2", {}, heading), h("table", {}, h("tbody", {},
		h("tr", {}, h("th", {}, whole), h("th", { class: "n" }, count(total(values[whole])))), rows,
		Object.entries(values).filter(([key]) => ![whole, ...parts, "residual"].includes(key)).map(([key, v]) =>
			h("tr", {}, h("td", { class: "soft" }, name(title(key), 60)), h("td", { class: "n soft" }, count(total(v))))),
		h("tr", {}, h("td", {}, odd ? h("b", { class: "bad" }, "does not balance") : residual ? "on the way" : "balances"), h("td", { class: `n${odd ? " bad" : ""}` }, residual ? String(residual) : "✓")))));
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
