// SPDX-License-Identifier: Apache-2.0
// Latency over time: a point a trace, duration on a logarithmic axis; a rectangle is dragged with the pointer.

import { clock, day, duration } from "./format.js";
import { cssColour, h, paint } from "./dom.js";

const LEFT = 52;
const BOTTOM = 18;
const TOP = 6;
const RIGHT = 8;

// points: [{ id, ms, ns, error, marked }]; onselect({ from, to (ms), min, max (ns) }), onopen(id), onhover(id or null)
export function scatter({ onselect, onopen, onhover }) {
	const canvas = h("canvas", { class: "scatter", role: "img", "aria-label": "Duration of the traces listed below, over time; drag a rectangle to narrow the search" });
	const box = h("div", { class: "scatter-drag", hidden: true });
	const root = h("div", { class: "scatter-box" }, canvas, box);
	let points = [];
	let scale = null;
	let drag = null;
	let hot = null;

	function measure() {
		const width = canvas.clientWidth;
		const height = canvas.clientHeight;
		let [t0, t1, d0, d1] = [Infinity, -Infinity, Infinity, -Infinity];
		for (const p of points) {
			t0 = Math.min(t0, p.ms);
			t1 = Math.max(t1, p.ms);
			d0 = Math.min(d0, Math.max(p.ns, 1000));
			d1 = Math.max(d1, Math.max(p.ns, 1000));
		}
		const pad = Math.max(1, (t1 - t0) * 0.02);
		t0 -= pad;
		t1 += pad;
		const lo = Math.log10(d0) - 0.15;
		const hi = Math.log10(d1) + 0.15;
		return {
			t0, t1, lo, hi,
			x: (ms) => LEFT + ((ms - t0) / (t1 - t0)) * (width - LEFT - RIGHT),
			y: (ns) => height - BOTTOM - ((Math.log10(Math.max(ns, 1000)) - lo) / (hi - lo)) * (height - BOTTOM - TOP),
			ms: (x) => t0 + ((x - LEFT) / (width - LEFT - RIGHT)) * (t1 - t0),
			ns: (y) => 10 ** (lo + ((height - BOTTOM - y) / (height - BOTTOM - TOP)) * (hi - lo)),
		};
	}

	function draw() {
		if (!points.length) {
			paint(canvas, () => {});
			return;
		}
		scale = measure();
		paint(canvas, (c, width, height) => {
			axes(c, width, height);
			const [plain, error, ring] = ["--point", "--error", "--text"].map(cssColour);
			c.globalAlpha = points.length > 400 ? 0.5 : 0.75;
			for (const p of points) {
				c.fillStyle = p.error ? error : plain;
				c.beginPath();
				c.arc(scale.x(p.ms), scale.y(p.ns), p.error ? 3.5 : 3, 0, 7);
				c.fill();
			}
			c.globalAlpha = 1;
			for (const p of points) {
				if (p !== hot && !p.marked) continue;
				c.strokeStyle = ring;
				c.lineWidth = 1.5;
				c.beginPath();
				c.arc(scale.x(p.ms), scale.y(p.ns), 5.5, 0, 7);
				c.stroke();
			}
		});
	}

	function axes(c, width, height) {
		c.font = `11px ${cssColour("--sans")}`;
		c.fillStyle = cssColour("--soft");
		c.strokeStyle = cssColour("--line");
		c.lineWidth = 1;
		c.textAlign = "right";
		c.textBaseline = "middle";
		const narrow = scale.hi - scale.lo < 1.2;
		for (let power = Math.floor(scale.lo); power <= Math.ceil(scale.hi); power++) {
			for (const m of narrow ? [1, 2, 5] : [1]) {
				const ns = m * 10 ** power;
				const y = scale.y(ns);
				if (y < TOP || y > height - BOTTOM || ns < 1000) continue;
				c.beginPath();
				c.moveTo(LEFT, Math.round(y) + 0.5);
				c.lineTo(width - RIGHT, Math.round(y) + 0.5);
				c.stroke();
				c.fillText(duration(ns), LEFT - 6, y);
			}
		}
		c.textBaseline = "alphabetic";
		const n = Math.max(2, Math.floor(width / 170));
		for (let i = 0; i < n; i++) {
			const ms = scale.t0 + ((scale.t1 - scale.t0) * i) / (n - 1);
			c.textAlign = i === 0 ? "left" : i === n - 1 ? "right" : "center";
			c.fillText(when(ms), scale.x(ms), height - 4);
		}
	}

	function when(ms) {
		const span = scale.t1 - scale.t0;
		if (span > 2 * 86400e3) return `${day(ms).slice(5)} ${clock(ms, false).slice(0, 5)}`;
		return clock(ms, span < 10e3);
	}

	function nearest(x, y) {
		let best = null;
		let least = 10 ** 2;
		for (const p of points) {
			const d = (scale.x(p.ms) - x) ** 2 + (scale.y(p.ns) - y) ** 2;
			if (d < least) [best, least] = [p, d];
		}
		return best;
	}

	canvas.addEventListener("pointerdown", (event) => {
		if (!points.length || event.button) return;
		drag = { x: event.offsetX, y: event.offsetY, moved: false };
		canvas.setPointerCapture(event.pointerId);
	});
	canvas.addEventListener("pointermove", (event) => {
		if (!points.length) return;
		const { offsetX: x, offsetY: y } = event;
		if (drag) {
			drag.moved ||= Math.hypot(x - drag.x, y - drag.y) > 4;
			box.hidden = !drag.moved;
			const px = (n) => `${n}px`;
			box.style.left = px(Math.min(x, drag.x));
			box.style.top = px(Math.min(y, drag.y));
			box.style.width = px(Math.abs(x - drag.x));
			box.style.height = px(Math.abs(y - drag.y));
			return;
		}
		const p = nearest(x, y);
		if (p === hot) return;
		hot = p;
		canvas.classList.toggle("hot", Boolean(p));
		onhover(p ? p.id : null);
		draw();
	});
	canvas.addEventListener("pointerleave", () => {
		if (!hot || drag) return;
		hot = null;
		onhover(null);
		draw();
	});
	canvas.addEventListener("pointercancel", () => {
		drag = null;
		box.hidden = true;
	});
	canvas.addEventListener("pointerup", (event) => {
		const was = drag;
		drag = null;
		box.hidden = true;
		if (!was) return;
		if (was.moved) {
			const [x0, x1] = [was.x, event.offsetX].sort((a, b) => a - b);
			const [y0, y1] = [was.y, event.offsetY].sort((a, b) => a - b);
			onselect({ from: scale.ms(x0), to: scale.ms(x1), min: scale.ns(y1), max: scale.ns(y0) });
		} else {
			const p = nearest(event.offsetX, event.offsetY);
			if (p) onopen(p.id);
		}
	});

	const resized = new ResizeObserver(draw);
	resized.observe(canvas);
	const dark = matchMedia("(prefers-color-scheme: dark)");
	dark.addEventListener("change", draw);
	return {
		root,
		set(next) {
			points = next;
			hot = hot && points.find((p) => p.id === hot.id);
			draw();
		},
		heat(id) {
			hot = points.find((p) => p.id === id) || null;
			draw();
		},
		close() {
			resized.disconnect();
			dark.removeEventListener("change", draw);
		},
	};
}
