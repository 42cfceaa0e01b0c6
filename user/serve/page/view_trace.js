// SPDX-License-Identifier: Apache-2.0
// One trace: its head, the waterfall, the pane of the selected span.

import { getOtlp, getRows, getSpan } from "./api.js";
import { criticalPath, timeOnPath } from "./critical.js";
import { copy, empty, h, name, notice, replace, say, service } from "./dom.js";
import { clock, count, day, duration, plural } from "./format.js";
import { findGroups } from "./nplus1.js";
import { label } from "./operation.js";
import { atMs } from "./otlp.js";
import { changed, formatHash, one } from "./query.js";
import { spanPane } from "./span_pane.js";
import { traceText } from "./text.js";
import { closedBelow, flatten } from "./tree.js";
import { Waterfall } from "./waterfall.js";

// Larger traces are shown first, and looked through for patterns and the critical path then.
const AT_ONCE = 20000;
// Spans that were looked at and are kept whole.
const WHOLES_MOST = 200;
const NO_GROUPS = { list: [], byParent: new Map(), ofMember: new Map() };
// An address that names more closed spans than this would be longer than may be sent.
const NAMED_MOST = 60;

export function open(root, state, page) {
	const view = new TraceView(root, state, page);
	return {
		update: (next) => view.update(next),
		keys: (event) => view.keys(event),
		close: () => view.close(),
	};
}

class TraceView {
	constructor(root, state, page) {
		Object.assign(this, { root, state, page, abort: new AbortController(), wholes: new Map() });
		replace(root, h("p", { class: "soft loading" }, "Reading the trace…"));
		this.load();
	}

	async load() {
		try {
			const { tree, arrived } = await getRows(this.state.id, this.abort.signal);
			if (!tree.spans.length) {
				replace(this.root, empty("This trace has no spans"));
				return;
			}
			this.tree = tree;
			this.later = tree.spans.length > AT_ONCE;
			this.analyse();
			this.build();
			this.update(this.state);
			requestAnimationFrame(() => {
				// What a test of the time to the first paint reads.
				performance.measure("trace-paint", { start: arrived, end: performance.now() });
				if (this.later) setTimeout(() => this.complete());
			});
		} catch (error) {
			if (error.name === "AbortError") return;
			replace(this.root, notice(error, error.status === 404 ? null : () => this.load()));
			if (error.status !== 404 && error.status === undefined) throw error;
		}
	}

	analyse() {
		this.groups = this.later ? NO_GROUPS : findGroups(this.tree);
		this.path = this.later ? [] : criticalPath(this.tree);
		this.onPath = timeOnPath(this.path);
		this.pathTime = this.path.reduce((sum, p) => sum + p.end - p.start, 0);
	}

	// What was left for after the first paint.
	complete() {
		if (this.abort.signal.aborted) return;
		this.later = false;
		this.analyse();
		this.chips.replaceChildren(...[this.groupChips()].filter(Boolean));
		this.layout = null;
		this.update(this.state);
	}

	build() {
		const { tree } = this;
		const { trace } = tree;
		const first = tree.spans[tree.roots[0]];
		const errors = tree.spans.filter((s) => s.status === "error").length;
		const services = [...new Set(tree.spans.map((s) => s.service))];
		const ms = atMs(trace, trace.start);
		this.page.title(label(first));
		this.waterfall = new Waterfall({
			select: (row) => this.select(row),
			toggle: (row) => this.toggle(row),
			zoom: (range) => this.zoom(range),
		});
		this.pane = h("aside", { class: "pane", hidden: true, "aria-label": "Span" });
		const button = (text, title, onclick) => h("button", { type: "button", title, onclick }, text);
		this.criticalButton = h("button", { type: "button", class: "toggle", title: "c", onclick: () => this.set({ path: one(this.state, "path") === "0" ? "" : "0" }) }, "Critical path");
		const notes = this.notes();
		replace(this.root,
			h("div", { class: "trace-head" },
				h("h1", {}, service(first.service), " ", name(label(first), 160)),
				h("p", { class: "soft" }, h("b", {}, duration(trace.end - trace.start)), ` · ${plural(tree.spans.length, "span")} · ${plural(services.length, "service")}`,
					errors ? [" · ", h("button", { type: "button", class: "link bad", title: "n", onclick: () => this.nextError() }, plural(errors, "error"))] : null,
					` · ${day(ms)} ${clock(ms)} · `, h("button", { type: "button", class: "link id", title: "Copy the id", onclick: () => copy(trace.id, "Trace id") }, name(trace.id, 32))),
				trace.lost ? h("p", { class: "note" }, "Spans of this trace were lost: what is missing here may have happened all the same.") : null,
				notes,
				h("div", { class: "actions" }, this.criticalButton,
					button("Collapse all", "[", () => this.closeAll()), button("Expand all", "]", () => this.openAll()),
					button("Whole trace", "0", () => this.zoom(null)),
					button("Copy as text", "y", () => this.copyText()), button("Copy as JSON", "", () => this.copyJson()),
					h("a", { class: "button", href: formatHash({ view: "diff", params: new Map([["a", [this.state.id]]]) }) }, "Diff with…"))),
			(this.chips = h("div", {}, this.groupChips())),
			h("div", { class: "trace-body" }, this.waterfall.root, this.pane));
	}

	// What does not fit into the tree, in numbers: each span says it itself, too.
	notes() {
		const counts = new Map();
		for (const list of this.tree.notes.values()) for (const n of list) counts.set(n.what, (counts.get(n.what) || 0) + 1);
		const words = {
			orphan: "without a parent that is there", loop: "in a loop of parents", duplicate: "with the id of another",
			skew: "outside the parent's time (clocks differ, or nothing waited; shown as sent)", outlives: "ending after the parent", negative: "with the end before the begin",
		};
		const said = Object.entries(words).filter(([what]) => counts.get(what)).map(([what, text]) => `${plural(counts.get(what), "span")} ${text}`);
		return said.length ? h("p", { class: "soft" }, said.join(" · ")) : null;
	}

	groupChips() {
		const list = this.groups.list.map((g, at) => [g, at]).sort((a, b) => b[0].time - a[0].time).slice(0, 5);
		if (!list.length) return null;
		return h("div", { class: "chips patterns" }, list.map(([g, at]) => h("button", {
			type: "button", class: "chip", onclick: () => this.goTo(-1 - at),
		}, h("span", { class: "badge" }, "N+1"), h("span", {}, `${g.members.length} × `, name(g.name, 80), `, ${g.mode}, ${duration(g.time)}`))));
	}

	// Closed spans and opened groups are named by span ids, so that a link shows the same.
	update(next) {
		this.state = next;
		if (!this.tree) return;
		const { tree } = this;
		const ids = (key) => one(next, key).split(".").filter(Boolean);
		if (this.closedFor !== one(next, "closed")) {
			const text = (this.closedFor = one(next, "closed"));
			this.closed = text === "all" ? closedBelow(tree, 1) : this.closedHere && text === "many" ? this.closedHere : new Set(ids("closed").map((id) => tree.byId.get(id)).filter((i) => i !== undefined));
		}
		this.opened = new Set(ids("open").map((id) => this.groups.ofMember.get(tree.byId.get(id))).filter((g) => g !== undefined));
		if (one(next, "open") === "all") this.groups.list.forEach((_, g) => this.opened.add(g));
		const selected = one(next, "span");
		const group = selected.startsWith("g") ? this.groups.ofMember.get(tree.byId.get(selected.slice(1))) : undefined;
		this.selected = group !== undefined ? -1 - group : tree.byId.get(selected) ?? null;
		const [from, to] = one(next, "view").split("-").map(Number);
		const { start, end } = tree.trace;
		this.range = to > from ? [start + from, start + to] : [start, end];
		this.criticalButton.setAttribute("aria-pressed", String(one(next, "path") !== "0"));
		this.draw();
	}

	draw() {
		const { tree, groups, closed, opened, selected, range } = this;
		// Moving from row to row must not cost what laying out 100,000 does.
		const layout = `${this.closedFor} ${one(this.state, "open")} ${closed.size}`;
		if (layout !== this.layout) {
			this.layout = layout;
			this.flat = flatten(tree, closed, groups, opened);
		}
		const none = (this.nothing ||= []);
		this.waterfall.draw({ tree, groups, flat: this.flat, path: one(this.state, "path") === "0" ? none : this.path, closed, opened, selected, range, later: this.later });
		this.drawPane();
		if (selected !== null) this.waterfall.show(selected);
	}

	drawPane() {
		this.pane.hidden = this.selected === null;
		this.root.classList.toggle("with-pane", this.selected !== null);
		if (this.selected === null) return;
		const close = () => this.set({ span: "" });
		this.reading?.abort();
		if (this.selected < 0) {
			replace(this.pane, this.groupPane(this.groups.list[-1 - this.selected], close));
			return;
		}
		const at = this.selected;
		replace(this.pane, spanPane(this.tree, at, this.wholes.get(at), {
			onpath: this.onPath.get(at), path: this.pathTime, close, select: (i) => this.goTo(i),
		}));
		if (!this.wholes.has(at)) this.readSpan(at);
	}

	// The rest of what is known of it, shown when it has come, if it is still the one that is looked at.
	async readSpan(at) {
		this.reading = new AbortController();
		try {
			const whole = await getSpan(this.state.id, this.tree.spans[at], this.reading.signal);
			if (this.wholes.size >= WHOLES_MOST) this.wholes.clear();
			this.wholes.set(at, whole);
			if (this.selected === at && !this.abort.signal.aborted) this.drawPane();
		} catch (error) {
			if (error.name === "AbortError") return;
			this.pane.append(notice(error, () => this.drawPane()));
			if (error.status === undefined) throw error;
		}
	}

	groupPane(g, close) {
		const spans = g.members.map((m) => this.tree.spans[m]);
		const sorted = spans.map((s) => s.duration).sort((a, b) => a - b);
		return [
			h("div", { class: "pane-head" }, h("h2", {}, `${g.members.length} × `, name(g.name, 160)),
				h("button", { type: "button", class: "close", "aria-label": "Close details", onclick: close }, "×")),
			h("p", {}, service(g.service), ` ${g.kind}, ${g.mode}`),
			h("dl", { class: "facts" },
				h("dt", {}, "Time"), h("dd", {}, `${duration(g.time)} in which at least one of them runs`),
				h("dt", {}, "Each"), h("dd", {}, `${duration(sorted[0])} – ${duration(sorted[sorted.length - 1])}, median ${duration(sorted[sorted.length >> 1])}`),
				g.errors ? [h("dt", {}, "Errors"), h("dd", { class: "bad" }, count(g.errors))] : null),
			h("p", {}, `One request makes the same call ${g.members.length} times${g.mode === "sequential" ? ", each after the one before" : ""}. `,
				"One call for all of them (a list, a batch, a join) would save nearly all of this time."),
			h("div", { class: "actions" }, h("button", { type: "button", onclick: () => this.toggle(this.selected) }, "Show or hide the calls")),
		];
	}

	set(changes, instead = true) {
		this.page.go(changed(this.state, changes), { replace: instead });
	}

	select(row) {
		this.set({ span: row === this.selected ? "" : this.rowId(row) });
	}

	rowId(row) {
		return row < 0 ? `g${this.tree.spans[this.groups.list[-1 - row].members[0]].id}` : this.tree.spans[row].id;
	}

	// To a row wherever it hides: what is above it is opened.
	goTo(row) {
		const { tree, groups } = this;
		const open = new Set(this.opened);
		let above = row < 0 ? groups.list[-1 - row].parent : tree.parent[row];
		let at = row;
		for (;;) {
			const g = at >= 0 ? groups.ofMember.get(at) : undefined;
			if (g !== undefined) open.add(g);
			if (above < 0) break;
			if (this.closed.delete(above)) this.layout = null;
			at = above;
			above = tree.parent[above];
		}
		this.set({ ...this.closedParam(), ...this.openParam(open), span: this.rowId(row) });
	}

	toggle(row) {
		if (row < 0) {
			const open = new Set(this.opened);
			if (!open.delete(-1 - row)) open.add(-1 - row);
			this.set(this.openParam(open));
			return;
		}
		if (!this.closed.delete(row)) this.closed.add(row);
		this.layout = null;
		const before = this.state;
		this.set(this.closedParam());
		// Where too many are closed to be named, the address stays as it was.
		if (this.state === before) this.draw();
	}

	closedParam() {
		const closed = [...this.closed];
		this.closedHere = this.closed;
		const text = closed.length > NAMED_MOST ? "many" : closed.map((i) => this.tree.spans[i].id).join(".");
		this.closedFor = text;
		return { closed: text };
	}

	openParam(open) {
		const all = open.size === this.groups.list.length && open.size > NAMED_MOST;
		return { open: all ? "all" : [...open].slice(0, NAMED_MOST).map((g) => this.tree.spans[this.groups.list[g].members[0]].id).join(".") };
	}

	closeAll() {
		this.set({ closed: "all", open: "" });
	}

	openAll() {
		this.set({ closed: "", open: this.groups.list.length ? "all" : "" });
	}

	zoom(range) {
		const { start } = this.tree.trace;
		this.set({ view: range ? `${Math.round(range[0] - start)}-${Math.round(range[1] - start)}` : "" });
	}

	copyText() {
		copy(traceText(this.tree, this.flat, this.groups), "Trace as text");
	}

	async copyJson() {
		try {
			copy(JSON.stringify(await getOtlp(this.state.id, this.abort.signal)), "Trace as OTLP JSON");
		} catch (error) {
			if (error.name !== "AbortError") say(`Nothing was copied: ${error.message}`);
		}
	}

	nextError() {
		const { order, spans } = this.tree;
		const at = this.selected === null || this.selected < 0 ? -1 : order.indexOf(this.selected);
		for (let k = 1; k <= order.length; k++) {
			const i = order[(at + k + order.length) % order.length];
			if (spans[i].status === "error") {
				this.goTo(i);
				return;
			}
		}
		say("No span of this trace failed");
	}

	move(step) {
		const { rows } = this.flat;
		const at = this.selected === null ? -1 : this.waterfall.place(this.selected);
		const next = Math.max(0, Math.min(rows.length - 1, at + step));
		this.set({ span: this.rowId(rows[next]) });
	}

	fold(open) {
		const row = this.selected;
		if (row === null) return;
		const isOpen = row < 0 ? this.opened.has(-1 - row) : this.tree.kids[row].length > 0 && !this.closed.has(row);
		if (isOpen !== open && (row < 0 || this.tree.kids[row].length)) this.toggle(row);
		else if (!open && row >= 0 && this.tree.parent[row] >= 0) this.goTo(this.tree.parent[row]);
	}

	keys(event) {
		if (!this.tree) return false;
		const does = {
			j: () => this.move(1), ArrowDown: () => this.move(1), k: () => this.move(-1), ArrowUp: () => this.move(-1),
			PageDown: () => this.move(20), PageUp: () => this.move(-20), Home: () => this.move(-1e9), End: () => this.move(1e9),
			ArrowLeft: () => this.fold(false), ArrowRight: () => this.fold(true), h: () => this.fold(false), l: () => this.fold(true),
			n: () => this.nextError(), c: () => this.criticalButton.click(), "[": () => this.closeAll(), "]": () => this.openAll(),
			0: () => this.zoom(null), y: () => this.copyText(), z: () => this.zoomToSelected(),
		}[event.key];
		if (does) {
			does();
			return true;
		}
		if (event.key === "Enter" && (event.target === document.body || event.target.closest?.("main") === event.target || event.target === this.waterfall.scroller)) {
			if (this.selected === null) this.move(1);
			else this.pane.querySelector("button")?.focus();
			return true;
		}
		if (event.key === "Escape") {
			if (this.selected !== null) this.set({ span: "" });
			else if (history.length > 1) history.back();
			else this.page.go({ view: "traces" });
			return true;
		}
		return false;
	}

	zoomToSelected() {
		const at = this.selected;
		if (at === null) return;
		const span = at < 0 ? this.groups.list[-1 - at] : this.tree.spans[at];
		const pad = Math.max(1, (span.end - span.start) * 0.05);
		this.zoom([Math.max(this.tree.trace.start, span.start - pad), Math.min(this.tree.trace.end, span.end + pad)]);
	}

	close() {
		this.abort.abort();
		this.reading?.abort();
		this.waterfall?.close();
		this.root.classList.remove("with-pane");
	}
}

