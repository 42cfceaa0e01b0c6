// SPDX-License-Identifier: Apache-2.0
// The rows of a trace on one time axis. Only rows in sight are elements, so that their number does not matter.

import { colour, cssColour, h, name, paint, replace } from "./dom.js";
import { duration } from "./format.js";
import { label } from "./operation.js";
import { attribute } from "./otlp.js";
import { ticks } from "./stats.js";
import { noteText } from "./tree.js";

const ROW = 24;
const SPARE = 8;
const INDENT = 14;
const DEEPEST = 24;

// on: { select(row), toggle(row), zoom([from, to]) }; what is shown is set by draw().
export class Waterfall {
	constructor(on) {
		this.on = on;
		this.pool = new Map();
		this.minimap = h("canvas", { class: "minimap", role: "img", "aria-label": "The whole trace; drag to zoom" });
		this.lens = h("div", { class: "lens", hidden: true });
		this.mapBox = h("div", { class: "minimap-box" }, this.minimap, this.lens);
		this.axis = h("div", { class: "axis", "aria-hidden": "true" });
		this.spacer = h("div", { class: "spacer" });
		this.scroller = h("div", { class: "rows", tabindex: "0", role: "tree", "aria-label": "Spans" }, this.spacer);
		this.root = h("div", { class: "waterfall" }, this.mapBox, this.axis, this.scroller);
		this.scroller.addEventListener("scroll", () => this.paintRows(), { passive: true });
		this.scroller.addEventListener("click", (event) => this.clicked(event));
		this.resized = new ResizeObserver(() => {
			this.drawMap();
			this.paintRows();
		});
		this.resized.observe(this.scroller);
		this.dark = matchMedia("(prefers-color-scheme: dark)");
		this.repaint = () => this.drawMap();
		this.dark.addEventListener("change", this.repaint);
		this.dragging();
	}

	// tree, groups, flat ({rows, depth}), path ([] where it is not shown), closed, opened, selected (row or null), range [from, to],
	// later: the minimap is not drawn yet, which takes longer than the rows in sight
	draw(shownNow) {
		const redrawMap = !this.now || this.now.tree !== shownNow.tree || this.now.path !== shownNow.path || this.now.later;
		if (this.now?.flat !== shownNow.flat) this.rowOf = null;
		this.now = shownNow;
		if (redrawMap) {
			this.onPath = new Map();
			for (const part of shownNow.path) {
				if (!this.onPath.has(part.index)) this.onPath.set(part.index, []);
				this.onPath.get(part.index).push(part);
			}
		}
		this.spacer.style.height = `${shownNow.flat.rows.length * ROW}px`;
		for (const element of this.pool.values()) element.remove();
		this.pool.clear();
		if (redrawMap) this.drawMap();
		this.drawLens();
		this.drawAxis();
		this.paintRows();
	}

	place(row) {
		if (!this.rowOf) {
			this.rowOf = new Map();
			this.now.flat.rows.forEach((r, at) => this.rowOf.set(r, at));
		}
		return this.rowOf.get(row) ?? -1;
	}

	show(row) {
		const at = this.place(row);
		if (at < 0) return;
		const { scrollTop, clientHeight } = this.scroller;
		if (at * ROW < scrollTop) this.scroller.scrollTop = Math.max(0, (at - 2) * ROW);
		else if ((at + 1) * ROW > scrollTop + clientHeight) this.scroller.scrollTop = (at + 3) * ROW - clientHeight;
		this.paintRows();
	}

	paintRows() {
		if (!this.now) return;
		const { rows } = this.now.flat;
		const first = Math.max(0, Math.floor(this.scroller.scrollTop / ROW) - SPARE);
		const last = Math.min(rows.length, Math.ceil((this.scroller.scrollTop + this.scroller.clientHeight) / ROW) + SPARE);
		for (const [at, element] of this.pool) {
			if (at >= first && at < last) continue;
			element.remove();
			this.pool.delete(at);
		}
		const fresh = document.createDocumentFragment();
		for (let at = first; at < last; at++) {
			if (this.pool.has(at)) continue;
			const element = this.row(at);
			this.pool.set(at, element);
			fresh.append(element);
		}
		this.scroller.append(fresh);
		const selected = this.now.selected === null ? null : this.pool.get(this.place(this.now.selected));
		if (selected) this.scroller.setAttribute("aria-activedescendant", selected.id);
		else this.scroller.removeAttribute("aria-activedescendant");
	}

	row(at) {
		const { flat, tree, groups, selected } = this.now;
		const row = flat.rows[at];
		const level = flat.depth[at];
		const item = row < 0 ? this.groupRow(groups.list[-1 - row], row) : this.spanRow(tree.spans[row], row);
		const left = h("div", { class: "left", style: { "padding-left": `${Math.min(level, DEEPEST) * INDENT + 4}px` } }, item.fold, item.left);
		return h("div", {
			class: `row ${item.class}${row === selected ? " selected" : ""}`,
			id: `row-${at}`,
			role: "treeitem",
			"aria-level": level + 1,
			"aria-selected": String(row === selected),
			"aria-expanded": item.expanded,
			"data-at": at,
			style: { transform: `translateY(${at * ROW}px)` },
		}, left, h("div", { class: "right" }, item.right));
	}

	fold(open) {
		return h("span", { class: "fold", "data-fold": true }, open ? "▾" : "▸");
	}

	spanRow(span, i) {
		const { tree, closed } = this.now;
		const kids = tree.kids[i].length;
		const open = !closed.has(i);
		const failed = span.status === "error";
		const notes = tree.notes.get(i);
		const hidden = kids && !open ? tree.size[i] - 1 : 0;
		const method = attribute(span, "sonde.link.method");
		const left = [
			h("i", { class: `dot c${colour(span.service)}` }),
			h("span", { class: "who" }, name(span.service, 30)),
			h("span", { class: "operation" }, name(label(span), 100)),
			failed ? h("span", { class: "mark bad", title: "error" }, "!") : null,
			hidden ? h("span", { class: "more" }, `+${hidden}`, tree.errors[i] - Number(failed) ? h("b", { class: "bad" }, ` ${tree.errors[i] - Number(failed)}!`) : null) : null,
			notes ? h("span", { class: "mark warn", title: notes.map((n) => noteText(tree, i, n)).join("; ") }, noteSign(notes)) : null,
			attribute(span, "sonde.link.ambiguous") ? h("span", { class: "mark warn", title: "the link to its parent is ambiguous: none was made" }, "?") : null,
		];
		const right = [this.bar(span.start, span.end, `bar c${colour(span.service)}${failed ? " bad" : ""}${span.kind === "client" ? " client" : ""}`),
			(this.onPath.get(i) || []).map((p) => this.bar(p.start, p.end, "critical")), this.time(span.start, span.end, span.duration, method)];
		return { class: failed ? "failed" : "", fold: kids ? this.fold(open) : h("span", { class: "fold" }), left, right, expanded: kids ? String(open) : undefined };
	}

	groupRow(group, row) {
		const open = this.now.opened.has(-1 - row);
		const left = [
			h("span", { class: "badge" }, "N+1"),
			h("span", { class: "operation" }, `${group.members.length} × `, name(group.name, 100), `, ${group.mode}, ${duration(group.time)}`),
			group.errors ? h("span", { class: "mark bad" }, `${group.errors}!`) : null,
		];
		const c = colour(group.service);
		// A bar of each member as long as they can be told apart, else one for all.
		const members = group.members.length <= 200 && !open
			? group.members.map((m) => this.bar(this.now.tree.spans[m].start, this.now.tree.spans[m].end, `bar c${c}`))
			: [this.bar(group.start, group.end, `bar faint c${c}`)];
		// Members that are shown below have their own stretches of the path.
		const path = open ? [] : group.members.flatMap((m) => this.onPath.get(m) || []).slice(0, 400).map((p) => this.bar(p.start, p.end, "critical"));
		return { class: "group", fold: this.fold(open), left, right: [members, path, this.time(group.start, group.end, group.time)], expanded: String(open) };
	}

	x(ns) {
		const [from, to] = this.now.range;
		return ((ns - from) / (to - from || 1)) * 100;
	}

	bar(start, end, kind) {
		const x0 = Math.max(-1, this.x(start));
		const x1 = Math.min(101, this.x(end));
		if (x1 < 0 || x0 > 100) return null;
		return h("i", { class: kind, style: { left: `${x0}%`, width: `${Math.max(0, x1 - x0)}%` } });
	}

	time(start, end, ns) {
		const x0 = Math.max(0, this.x(start));
		const x1 = Math.min(100, this.x(end));
		const text = duration(ns);
		if (x1 < 0) return h("span", { class: "took", style: { left: "0" } }, `← ${text}`);
		if (x0 > 100) return h("span", { class: "took", style: { right: "0" } }, `${text} →`);
		// Beside the bar: after it where there is room, else before it, else upon it.
		if (x1 < 82) return h("span", { class: "took", style: { left: `${x1}%` } }, text);
		if (x0 > 18) return h("span", { class: "took", style: { right: `${100 - x0}%` } }, text);
		return h("span", { class: "took on", style: { left: `${x0}%` } }, text);
	}

	clicked(event) {
		const element = event.target.closest(".row");
		if (!element) return;
		const row = this.now.flat.rows[Number(element.dataset.at)];
		if (event.target.closest("[data-fold]")) this.on.toggle(row);
		else this.on.select(row);
	}

	drawAxis() {
		const [from, to] = this.now.range;
		const base = this.now.tree.trace.start;
		const steps = this.axis.clientWidth < 500 ? 3 : 6;
		replace(this.axis, h("div", { class: "axis-in" }, ticks(from - base, to - base, steps).filter((t) => this.x(t + base) < 95).map((t) =>
			h("span", { style: { left: `${this.x(t + base)}%` } }, duration(t)))));
	}

	drawLens() {
		const { start, end } = this.now.tree.trace;
		const [from, to] = this.now.range;
		const whole = end - start || 1;
		this.lens.hidden = from <= start && to >= end;
		this.lens.style.left = `${((from - start) / whole) * 100}%`;
		this.lens.style.width = `${((to - from) / whole) * 100}%`;
	}

	// One line a pixel at the most: of 100,000 spans those that fall on a drawn pixel are skipped.
	drawMap() {
		if (!this.now || this.now.later) return;
		const { tree, path } = this.now;
		const { start, end } = tree.trace;
		const colours = Array.from({ length: 10 }, (_, c) => cssColour(`--c${c}`));
		const bad = cssColour("--error");
		paint(this.minimap, (c, width, height) => {
			const whole = end - start || 1;
			const n = tree.order.length;
			const line = Math.max(1, Math.min(4, Math.floor((height - 4) / n)));
			const drawn = new Uint8Array(Math.ceil(width) * Math.ceil(height));
			for (let at = 0; at < n; at++) {
				const span = tree.spans[tree.order[at]];
				const y = 2 + Math.floor((at / n) * (height - 4));
				const x = Math.max(0, Math.min(width - 1, Math.floor(((span.start - start) / whole) * width)));
				const failed = span.status === "error";
				const pixel = y * Math.ceil(width) + x;
				const w = Math.max(1, ((span.end - span.start) / whole) * width);
				if (drawn[pixel] >= Math.min(250, w) && !failed) continue;
				drawn[pixel] = Math.min(250, w);
				c.fillStyle = failed ? bad : colours[colour(span.service)];
				c.fillRect(x, y, w, line);
			}
			c.fillStyle = cssColour("--text");
			for (const p of path) c.fillRect(((p.start - start) / whole) * width, height - 2, Math.max(1, ((p.end - p.start) / whole) * width), 2);
		});
	}

	dragging() {
		let from = null;
		const at = (event) => {
			const box = this.mapBox.getBoundingClientRect();
			const { start, end } = this.now.tree.trace;
			return start + Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * (end - start);
		};
		this.mapBox.addEventListener("pointerdown", (event) => {
			from = { ns: at(event), x: event.clientX };
			this.mapBox.setPointerCapture(event.pointerId);
		});
		this.mapBox.addEventListener("pointermove", (event) => {
			if (from === null || Math.abs(event.clientX - from.x) < 4) return;
			const { start, end } = this.now.tree.trace;
			const [a, b] = [from.ns, at(event)].sort((x, y) => x - y);
			this.lens.hidden = false;
			this.lens.style.left = `${((a - start) / (end - start || 1)) * 100}%`;
			this.lens.style.width = `${((b - a) / (end - start || 1)) * 100}%`;
		});
		this.mapBox.addEventListener("pointerup", (event) => {
			if (from === null) return;
			const [a, b] = [from.ns, at(event)].sort((x, y) => x - y);
			const far = Math.abs(event.clientX - from.x) >= 4;
			from = null;
			this.on.zoom(far && b > a ? [a, b] : null);
		});
		this.mapBox.addEventListener("pointercancel", () => {
			from = null;
			this.drawLens();
		});
	}

	close() {
		this.resized.disconnect();
		this.dark.removeEventListener("change", this.repaint);
	}
}

const SIGNS = { orphan: "↥", loop: "↻", duplicate: "⧉", skew: "⏱", negative: "⏱", outlives: "↦" };

function noteSign(notes) {
	return notes.map((n) => SIGNS[n.what]).join("");
}

