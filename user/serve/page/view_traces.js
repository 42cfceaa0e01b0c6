// SPDX-License-Identifier: Apache-2.0
// The list of traces: fields to search by, the scatter, the rows.

import { getTraces, search } from "./api.js";
import { compare, features } from "./compare.js";
import * as proposals from "./complete.js";
import { code, empty, h, name, notice, replace, service } from "./dom.js";
import { ago, clock, count, day, duration, parseDuration, percent, plural, shown, unixMs } from "./format.js";
import { summaryName } from "./operation.js";
import { all, changed, formatHash, one, RANGES, searchQuery } from "./query.js";
import { scatter } from "./scatter.js";
import { percentile } from "./stats.js";

// One huge trace would take longer to read than all others together, and is but one example more.
const HUGE = 20000;
const LIVE_EVERY_MS = 2000;
const COMPARED = 30;
const KINDS = ["server", "client", "internal", "producer", "consumer"];

const unread = ({ unread: n }) => [plural(n, "partition"), " of the store cannot be read: the ", h("a", { href: "#/health" }, "health page"), " says why"];

export function open(root, state, page) {
	const view = new Traces(root, state, page);
	return {
		update: (next) => view.update(next),
		keys: (event) => view.keys(event),
		close: () => view.close(),
	};
}

class Traces {
	constructor(root, state, page) {
		Object.assign(this, { state, page, list: [], at: -1, abort: new AbortController(), marked: new Set(), asked: "" });
		this.plot = scatter({
			onselect: (r) => this.rectangle(r),
			onopen: (id) => this.open(id),
			onhover: (id) => this.heat(id),
		});
		this.form = this.makeForm();
		this.summary = h("p", { class: "summary", "aria-live": "polite" });
		this.rows = h("ol", { class: "traces", "aria-label": "Traces" });
		this.panel = h("section", { class: "compare", hidden: true, "aria-label": "Compare" });
		this.message = h("div", {});
		replace(root, this.form, this.plot.root, h("div", { class: "bar" }, this.summary, this.makeActions()), this.panel, this.message, this.rows);
		this.fillForm();
		this.load();
		this.timer = setInterval(() => {
			if (this.live && !document.hidden && !this.loading) this.load(true);
		}, LIVE_EVERY_MS);
	}

	get live() {
		return one(this.state, "live") !== "0";
	}

	makeForm() {
		const field = (label, key, props = {}) => {
			const input = h("input", { name: key, spellcheck: "false", ...props });
			return { input, root: h("label", { class: `field field-${key}` }, h("span", {}, label), input) };
		};
		const select = (label, key, options) => {
			const input = h("select", { name: key }, options.map(([value, text]) => h("option", { value }, text)));
			return { input, root: h("label", { class: `field field-${key}` }, h("span", {}, label), input) };
		};
		const f = {
			service: field("Service", "service", { type: "search", placeholder: "any" }),
			operation: field("Operation", "operation", { type: "search", placeholder: "any" }),
			attr: field("Attribute", "attr", { type: "search", placeholder: "key=value" }),
			min: field("At least", "min", { placeholder: "20ms", size: 7 }),
			max: field("At most", "max", { placeholder: "1.5s", size: 7 }),
			kind: select("Kind", "kind", [["", "any"], ...KINDS.map((k) => [k, k])]),
			status: select("Status", "status", [["", "any"], ["error", "error"], ["ok", "ok"], ["unset", "unset"]]),
			range: select("Time", "range", [["", "all"], ...Object.keys(RANGES).map((r) => [r, `last ${r}`])]),
			limit: select("Show", "limit", [["", "100"], ["20", "20"], ["200", "200"]]),
			q: field("Where", "q", { type: "search", placeholder: "status >= 400 and not path ~ health", title: "AND, OR, NOT and brackets, as in: sonde search" }),
		};
		this.fields = f;
		this.chips = h("div", { class: "chips" });
		const lists = [
			proposals.complete(f.service.input, proposals.services),
			proposals.complete(f.operation.input, () => proposals.operations(f.service.input.value)),
			proposals.complete(f.attr.input, proposals.attributes),
		];
		const form = h("form", { class: "search", role: "search" },
			Object.values(f).map((x) => x.root),
			h("div", { class: "field buttons" }, h("button", { type: "submit", class: "primary" }, "Search"),
				h("button", { type: "button", onclick: () => this.page.go({ view: "traces" }) }, "Clear")),
			this.chips, lists);
		form.addEventListener("submit", (event) => {
			event.preventDefault();
			this.submit();
		});
		form.addEventListener("change", (event) => {
			if (event.target.tagName === "SELECT") this.submit();
		});
		return form;
	}

	makeActions() {
		const toggle = (text, title, onclick) => h("button", { type: "button", class: "toggle", title, onclick }, text);
		this.liveButton = toggle("Live", "Ask again every two seconds (l)", () => this.set({ live: this.live ? "0" : "" }));
		this.errorsButton = toggle("Errors only", "e", () => this.set({ status: one(this.state, "status") === "error" ? "" : "error" }));
		this.compareButton = toggle("Compare", "What the slow or failed ones have in common that the others have not",
			() => this.set({ compare: one(this.state, "compare") ? "" : "errors" }));
		this.diffLink = h("a", { class: "button", hidden: true }, "Diff the two marked");
		return h("div", { class: "actions" }, this.diffLink, this.compareButton, this.errorsButton, this.liveButton);
	}

	set(changes) {
		this.page.go(changed(this.state, changes));
	}

	submit() {
		const attr = this.fields.attr.input.value.trim();
		const changes = { attr: [...all(this.state, "attr"), attr] };
		for (const key of ["service", "operation", "min", "max", "kind", "status", "range", "limit", "q"]) {
			changes[key] = this.fields[key].input.value.trim();
		}
		if (changes.range !== one(this.state, "range")) changes.from = changes.to = "";
		this.fields.attr.input.value = "";
		const next = changed(this.state, changes);
		if (formatHash(next) === formatHash(this.state)) this.load();
		else this.page.go(next);
	}

	fillForm() {
		const s = this.state;
		for (const key of ["service", "operation", "min", "max", "kind", "status", "range", "limit", "q"]) {
			this.fields[key].input.value = one(s, key);
		}
		const chip = (text, changes) => h("button", {
			type: "button", class: "chip", "aria-label": `Remove ${shown(text, 80)}`, onclick: () => this.set(changes),
		}, name(text, 80), h("span", { "aria-hidden": "true" }, "×"));
		const attrs = all(s, "attr");
		const chips = attrs.map((term, at) => chip(term, { attr: attrs.filter((_, i) => i !== at) }));
		if (one(s, "from") || one(s, "to")) {
			const text = [one(s, "from"), one(s, "to")].map((ms) => (ms ? clock(Number(ms)) : "…")).join(" – ");
			chips.push(chip(text, { from: "", to: "" }));
		}
		replace(this.chips, chips);
		this.liveButton.setAttribute("aria-pressed", String(this.live));
		this.errorsButton.setAttribute("aria-pressed", String(one(s, "status") === "error"));
		this.compareButton.setAttribute("aria-pressed", String(Boolean(one(s, "compare"))));
	}

	update(next) {
		this.state = next;
		this.fillForm();
		this.load();
	}

	async load(quiet = false) {
		const now = Date.now();
		const { query, problems } = searchQuery(this.state, now);
		if (problems.length) {
			this.problems(problems);
			return;
		}
		this.abort.abort();
		this.abort = new AbortController();
		const { signal } = this.abort;
		this.loading = true;
		if (!quiet) this.rows.classList.add("waiting");
		try {
			const answer = await search(query, signal);
			this.show(answer);
		} catch (error) {
			if (error.name === "AbortError") return;
			replace(this.message, notice(error, () => this.load()));
		}
		this.loading = false;
		this.rows.classList.remove("waiting");
	}

	problems(lines) {
		replace(this.message, notice({ what: "This search cannot be asked", why: lines.join("; ") }));
	}

	show(answer) {
		const before = this.list[this.at]?.trace_id;
		// A live answer that is the same changes nothing under the pointer.
		const text = JSON.stringify(answer);
		if (text === this.asked && this.list.length) {
			this.tick();
			return;
		}
		this.asked = text;
		this.list = answer.traces;
		this.at = before ? this.list.findIndex((t) => t.trace_id === before) : -1;
		const failed = this.list.filter((t) => t.errors).length;
		replace(this.summary,
			plural(this.list.length, "trace"), failed ? [", ", h("span", { class: "bad" }, `${count(failed)} with errors`)] : "",
			answer.unread ? h("span", { class: "warn" }, " – ", unread(answer)) :
				answer.incomplete ? h("span", { class: "warn" }, " – the search took too long: there may be more") : "");
		this.unread = answer.unread;
		this.plot.root.hidden = !this.list.length;
		this.drawPoints();
		// One that took very long must not flatten the bars of all others: they are cut at the 95th percentile.
		const durations = this.list.map((t) => Number(t.duration_nano)).sort((x, y) => x - y);
		this.longest = percentile(durations, 0.95) || 1;
		const focused = this.rows.contains(document.activeElement);
		replace(this.rows, this.list.map((t, at) => this.row(t, at)));
		this.select(this.at, false);
		if (focused) this.rows.children[this.at]?.querySelector("a").focus({ preventScroll: true });
		replace(this.message, this.list.length ? null : this.nothing());
		this.compareNow();
	}

	drawPoints() {
		this.plot.set(this.list.map((t) => ({
			id: t.trace_id, ms: unixMs(t.start_unix_nano), ns: Number(t.duration_nano), error: t.errors > 0, marked: this.marked.has(t.trace_id),
		})));
	}

	nothing() {
		const searched = [...this.state.params.keys()].some((k) => !["live", "limit", "compare"].includes(k));
		if (searched) {
			return empty("No trace matches", "Take a condition away, or look at a longer time.",
				h("button", { type: "button", onclick: () => this.page.go({ view: "traces" }) }, "Show all"));
		}
		if (this.unread) return empty("No trace can be shown", [unread(this), "."]);
		return empty("No traces yet",
			["They appear here as soon as a traced program answers a request. Try: ", code("curl http://127.0.0.1:PORT/"), " against a service on this machine."],
			["Is something listening, but nothing shows up? ", code("sonde doctor"), " says what this machine allows; the ",
				h("a", { href: "#/health" }, "health page"), " says what was not decoded, and why."]);
	}

	row(t, at) {
		const start = unixMs(t.start_unix_nano);
		const ns = Number(t.duration_nano);
		const bar = h("i", { style: { width: `${Math.max(1, Math.min(100, (ns / this.longest) * 100))}%` } });
		const title = t.root ? [service(t.root.service), " ", h("span", { class: "operation" }, name(summaryName(t.root), 120))] : "(its root is not here)";
		return h("li", { class: t.errors ? "failed" : undefined, "data-at": at },
			h("input", {
				type: "checkbox", "aria-label": "Mark for a diff", checked: this.marked.has(t.trace_id), onchange: () => this.mark(t.trace_id),
			}),
			h("a", {
				href: formatHash({ view: "trace", id: t.trace_id }),
				onmouseenter: () => this.plot.heat(t.trace_id), onmouseleave: () => this.plot.heat(null),
			},
			h("span", { class: "when", title: `${day(start)} ${clock(start)}`, "data-ms": start }, h("b", {}, clock(start)), " ", h("small", {}, ago(start, Date.now()))),
			h("span", { class: "title" }, title),
			h("span", { class: "took" }, h("span", { class: "track" }, bar), h("b", {}, duration(ns))),
			h("span", { class: "counts" }, plural(t.spans, "span"),
				t.errors ? h("span", { class: "bad" }, ` ${plural(t.errors, "error")}`) : null,
				t.lost ? h("span", { class: "warn", title: "Spans of this trace were lost" }, " lost") : null),
			h("span", { class: "with" }, t.services.filter((s) => s !== t.root?.service).slice(0, 4).map((s) => service(s, 24)),
				t.services.length > 5 ? h("small", {}, `+${t.services.length - 5}`) : null)));
	}

	tick() {
		const now = Date.now();
		for (const at of this.rows.querySelectorAll(".when")) at.querySelector("small").textContent = ago(Number(at.dataset.ms), now);
	}

	mark(id) {
		if (!this.marked.delete(id)) this.marked.add(id);
		// Two are compared: of three the oldest mark goes.
		if (this.marked.size > 2) this.marked.delete(this.marked.values().next().value);
		for (const li of this.rows.children) li.querySelector("input").checked = this.marked.has(this.list[li.dataset.at].trace_id);
		const [a, b] = this.marked;
		this.diffLink.hidden = this.marked.size !== 2;
		if (b) this.diffLink.href = formatHash({ view: "diff", params: new Map([["a", [a]], ["b", [b]]]) });
		this.drawPoints();
	}

	heat(id) {
		for (const li of this.rows.children) li.classList.toggle("hot", this.list[li.dataset.at].trace_id === id);
	}

	rectangle({ from, to, min, max }) {
		const text = (ns) => (ns >= 1e9 ? `${(ns / 1e9).toFixed(3)}s` : ns >= 1e6 ? `${(ns / 1e6).toFixed(2)}ms` : `${Math.round(ns / 1e3)}us`);
		this.set({ from: Math.floor(from), to: Math.ceil(to), min: text(min), max: text(max), live: "0" });
	}

	open(id) {
		this.page.go({ view: "trace", id });
	}

	// Which of the listed are set against which others: failed, slowest tenth, or slower than what is said.
	split() {
		const mode = one(this.state, "compare");
		const durations = this.list.map((t) => Number(t.duration_nano)).sort((a, b) => b - a);
		const bound = parseDuration(mode) ?? durations[Math.floor(durations.length / 10)] ?? 0;
		const hit = mode === "errors" ? (t) => t.errors > 0 : (t) => Number(t.duration_nano) > bound;
		return { mode, bound, selected: this.list.filter(hit), others: this.list.filter((t) => !hit(t)) };
	}

	async compareNow() {
		const { mode, bound, selected, others } = this.split();
		// Not the signal of the search: a live list asks again before this is done.
		this.comparing?.abort();
		this.comparing = new AbortController();
		const { signal } = this.comparing;
		this.panel.hidden = !mode;
		if (!mode) return;
		const choose = (value, text) => h("button", {
			type: "button", class: "toggle", "aria-pressed": String(mode === value), onclick: () => this.set({ compare: value }),
		}, text);
		const head = h("div", { class: "bar" }, h("h2", {}, "What they have in common"),
			h("div", { class: "actions" }, choose("errors", "Failed"), choose("slow", "Slowest tenth"),
				h("button", { type: "button", onclick: () => this.set({ compare: "" }) }, "Close")));
		const body = h("div", {}, h("p", { class: "soft" }, "Reading the traces…"));
		replace(this.panel, head, body);
		if (!selected.length || !others.length) {
			replace(body, h("p", { class: "soft" }, mode === "errors"
				? `${selected.length ? "All" : "None"} of the listed traces ${selected.length ? "have" : "has"} errors: there is nothing to compare. Widen the search.`
				: "Too few traces are listed to compare. Widen the search."));
			return;
		}
		try {
			const sets = await Promise.all([selected, others].map(async (list) =>
				(await getTraces(list.filter((t) => t.spans <= HUGE).slice(0, COMPARED).map((t) => t.trace_id), signal)).map((e) => features(e.tree.trace))));
			replace(body, this.compared(sets, mode, bound));
		} catch (error) {
			if (error.name !== "AbortError") replace(body, notice(error));
		}
	}

	compared([a, b], mode, bound) {
		const found = compare(a, b);
		const who = mode === "errors" ? "failed" : `slower than ${duration(bound)}`;
		if (!found.length) return h("p", { class: "soft" }, `Nothing sets the ${a.length} ${who} apart from the ${b.length} others.`);
		const share = (n, of) => h("td", { class: "share" }, h("span", { class: "track" }, h("i", { style: { width: `${(n / of) * 100}%` } })), ` ${percent(n / of)}`);
		return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "What sets them apart" }, h("table", {},
			h("thead", {}, h("tr", {}, h("th", {}, "attribute"), h("th", {}, "value"), h("th", {}, `${who} (${a.length})`), h("th", {}, `others (${b.length})`))),
			h("tbody", {}, found.map((f) => h("tr", {}, h("td", {}, name(f.key, 80)),
				h("td", {}, this.findable(f)), share(f.selected, a.length), share(f.others, b.length))))));
	}

	findable(f) {
		if (f.key === "span" || f.key === "error in" || f.key === "service.name") return name(f.value, 120);
		return h("a", { href: formatHash(changed(this.state, { attr: [...all(this.state, "attr"), `${f.key}=${f.value}`] })) }, name(f.value, 120));
	}

	select(at, scroll = true) {
		this.rows.querySelector(".at")?.classList.remove("at");
		this.at = at;
		const li = this.rows.children[at];
		if (!li) return;
		li.classList.add("at");
		if (!scroll) return;
		li.querySelector("a").focus({ preventScroll: true });
		li.scrollIntoView({ block: "nearest" });
		this.plot.heat(this.list[at].trace_id);
	}

	keys(event) {
		const { key } = event;
		const last = this.list.length - 1;
		if (key === "j" || key === "ArrowDown") this.select(Math.min(last, this.at + 1));
		else if (key === "k" || key === "ArrowUp") this.select(Math.max(0, this.at - 1));
		else if (key === "Enter" && event.target.tagName !== "A" && event.target.tagName !== "BUTTON" && this.list[this.at]) this.open(this.list[this.at].trace_id);
		else if (key === "e") this.errorsButton.click();
		else if (key === "l") this.liveButton.click();
		else if (key === "x" && this.list[this.at]) this.mark(this.list[this.at].trace_id);
		else return false;
		return true;
	}

	close() {
		clearInterval(this.timer);
		this.abort.abort();
		this.comparing?.abort();
		this.plot.close();
	}
}
