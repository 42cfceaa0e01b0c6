// SPDX-License-Identifier: Apache-2.0
// Services and their calls.

import { get } from "./api.js";
import { colour, empty, h, name, notice, replace, svg } from "./dom.js";
import { count, duration, percent, plural, rate, shown } from "./format.js";
import { errorsOnly, graphOf, layout } from "./graph.js";
import { changed, formatHash, one, rangeQuery, secondsOf } from "./query.js";
import { rangeControl } from "./range.js";

const WIDE = 150;
const HIGH = 40;
const MARGIN = 30;
const COLUMN = 280;
const ROW = 76;

export function open(root, state, page) {
	let abort = new AbortController();
	let graph = null;
	let seconds = 0;
	const said = h("p", { class: "summary soft", "aria-live": "polite" });
	const body = h("div", {});
	const form = h("div", { class: "search" });
	const button = h("button", { type: "button", class: "toggle", title: "e", onclick: () => page.go(changed(page.state, { errors: one(page.state, "errors") ? "" : "1" })) }, "Errors only");
	replace(root, form, h("div", { class: "bar" }, said, h("div", { class: "actions" }, button)), body);

	async function load() {
		abort.abort();
		abort = new AbortController();
		replace(said, "Reading…");
		try {
			const answer = await get(`api/v1/map?${rangeQuery(page.state, Date.now())}`, abort.signal);
			seconds = secondsOf(answer);
			graph = graphOf(answer);
			replace(said, answer.spans ? `From ${plural(answer.spans, "span")} of ${duration(seconds * 1e9)}${answer.incomplete ? "; the newest ones: there was not time for all of them" : ""}` : "");
			draw();
		} catch (error) {
			if (error.name === "AbortError") return;
			replace(said);
			replace(body, notice(error, load));
		}
	}

	function draw() {
		const only = Boolean(one(page.state, "errors"));
		button.setAttribute("aria-pressed", String(only));
		if (!graph) return;
		if (!graph.nodes.length) {
			replace(body, empty("No services in that time", "The map is made of spans. As soon as there are some, it shows who calls whom."));
			return;
		}
		const shownGraph = only ? errorsOnly(graph) : graph;
		if (!shownGraph.nodes.length) {
			replace(body, empty("No call failed", "In that time no call has an error."));
			return;
		}
		// Places are those of the whole map: hiding what works must not move what does not.
		replace(body, h("div", { class: "map-box", tabindex: "0", role: "group", "aria-label": "Map of services" }, drawing(shownGraph, layout(graph, { column: COLUMN, row: ROW }), seconds)), edgesTable(shownGraph, seconds));
	}

	let key = null;
	function update() {
		const range = ["range", "from", "to"].map((name) => one(page.state, name)).join(" ");
		replace(form, rangeControl(page.state, page));
		if (key !== range) {
			key = range;
			load();
		} else draw();
	}
	update();
	return {
		update,
		close: () => abort.abort(),
		keys: (event) => event.key === "e" && (button.click(), true),
	};
}

function drawing(graph, { places, ways, columns, rows }, seconds) {
	const inside = ({ x, y }) => ({ x: x + MARGIN, y: y + MARGIN });
	const at = (id) => inside(places.get(id));
	const width = (columns - 1) * COLUMN + WIDE + MARGIN * 2;
	const height = (rows - 1) * ROW + HIGH + MARGIN * 2;
	const marker = svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto", markerUnits: "userSpaceOnUse" },
		svg("path", { d: "M0,0 L8,4 L0,8 z", class: "arrow" }));
	return svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `${plural(graph.nodes.length, "service")}, ${plural(graph.edges.length, "call")}; as a table below` },
		svg("defs", {}, marker),
		graph.edges.map((e) => drawEdge(e, at(e.from), at(e.to), (ways.get(e.id) || []).map(inside), seconds)),
		graph.nodes.map((n) => drawNode(n, at(n.id), seconds)));
}

function drawEdge(e, a, b, way, seconds) {
	const y0 = a.y + HIGH / 2;
	const y1 = b.y + HIGH / 2;
	const failing = e.errors > 0;
	let d;
	let label;
	if (e.from === e.to) {
		d = `M${a.x + WIDE - 30},${a.y} c10,-26 34,-26 30,${HIGH / 2}`;
		label = { x: a.x + WIDE, y: a.y - 12 };
	} else if (way.length) {
		d = `M${a.x + WIDE},${y0}`;
		[a, ...way].forEach((from, i) => {
			const to = way[i] || b;
			const middle = (from.x + WIDE + to.x) / 2;
			d += ` H${from.x + WIDE} C${middle},${from.y + HIGH / 2} ${middle},${to.y + HIGH / 2} ${to.x},${to.y + HIGH / 2}`;
		});
		label = { x: way[0].x + WIDE / 2, y: way[0].y + HIGH / 2 - (failing ? 16 : 8) };
	} else if (b.x > a.x) {
		const x0 = a.x + WIDE;
		const middle = (x0 + b.x) / 2;
		d = `M${x0},${y0} C${middle},${y0} ${middle},${y1} ${b.x},${y1}`;
		label = { x: middle, y: (y0 + y1) / 2 - (failing ? 16 : 8) };
	} else {
		// A call back: below the others.
		const low = Math.max(y0, y1) + HIGH;
		d = `M${a.x + WIDE / 2},${a.y + HIGH} C${a.x + WIDE / 2},${low} ${b.x + WIDE / 2},${low} ${b.x + WIDE / 2},${b.y + HIGH}`;
		label = { x: (a.x + b.x + WIDE) / 2, y: low - 4 };
	}
	const text = `${rate(e.count / seconds)} · ${duration(e.p95)}`;
	return svg("g", { class: `edge${failing ? " failing" : ""}` },
		svg("path", { d, "stroke-width": Math.min(5, 1 + Math.log10(e.count)), "marker-end": "url(#arrow)" }),
		svg("text", { x: label.x, y: label.y, "text-anchor": "middle" }, text),
		failing ? svg("text", { x: label.x, y: label.y + 14, "text-anchor": "middle" }, `${percent(e.errors / e.count)} errors`) : null);
}

function drawNode(n, { x, y }, seconds) {
	const second = n.traced ? (n.requests ? `${rate(n.requests / seconds)}${n.errors ? `, ${percent(n.errors / n.requests)} errors` : ""}` : "calls only") : "not traced";
	const inside = [
		svg("rect", { x, y, width: WIDE, height: HIGH, rx: 6 }),
		svg("text", { x: x + 10, y: y + 17, "font-weight": 600 }, shown(n.name, 17)),
		svg("text", { x: x + 10, y: y + 32, class: "second" }, second),
		svg("title", {}, shown(n.name, 300)),
	];
	const kind = `node${n.traced ? ` c${colour(n.name)}` : " untraced"}${n.errors ? " failing" : ""}`;
	return n.traced ? svg("a", { class: kind, href: formatHash({ view: "services", id: n.name }) }, inside) : svg("g", { class: kind }, inside);
}

function edgesTable(graph, seconds) {
	const names = new Map(graph.nodes.map((n) => [n.id, n]));
	const rows = graph.edges.slice().sort((a, b) => b.errors / b.count - a.errors / a.count || b.count - a.count);
	const n = (text, bad) => h("td", { class: `n${bad ? " bad" : ""}` }, text);
	const end = (id) => [name(names.get(id).name, 60), names.get(id).traced ? null : h("small", { class: "soft" }, " not traced")];
	return h("div", { class: "card scroll" }, h("table", {},
		h("thead", {}, h("tr", {}, ["Caller", "Called"].map((t) => h("th", {}, t)), ["Calls", "Rate", "Errors", "p50", "p95", "p99"].map((t) => h("th", { class: "n" }, t)), h("th", {}, "Examples"))),
		h("tbody", {}, rows.map((e) => h("tr", {}, h("td", {}, end(e.from)), h("td", {}, end(e.to)), n(count(e.count)), n(rate(e.count / seconds)),
				n(e.errors ? percent(e.errors / e.count) : "0", e.errors), n(duration(e.p50)), n(duration(e.p95)), n(duration(e.p99)),
				h("td", {}, e.examples.slice(0, 3).map((x) => [h("a", { class: x.error ? "bad" : undefined, href: formatHash({ view: "trace", id: x.trace, params: new Map([["span", [x.span]]]) }) }, duration(x.duration)), " "])))))));
}
