// SPDX-License-Identifier: Apache-2.0
// A small chart of values over time: bars or lines on one canvas.

import { cssColour, h, paint } from "./dom.js";
import { clock } from "./format.js";

const LEFT = 48;
const BOTTOM = 16;

// series: [{ values: [number or NaN], colour: "--variable", kind: "bars" | "line" }]; label(value) -> text of the axis
export function chart({ title, note, from, to, series, label }) {
	const canvas = h("canvas", { role: "img", "aria-label": title });
	const draw = () => paint(canvas, (c, width, height) => {
		const n = series[0].values.length;
		const top = Math.max(1e-12, ...series.flatMap((s) => s.values.filter(Number.isFinite))) * 1.08;
		const y = (v) => height - BOTTOM - (v / top) * (height - BOTTOM - 6);
		const x = (i) => LEFT + (i / n) * (width - LEFT - 4);
		c.font = `10px ${cssColour("--sans")}`;
		c.fillStyle = cssColour("--soft");
		c.strokeStyle = cssColour("--line");
		c.textAlign = "right";
		c.textBaseline = "middle";
		for (const v of [0, top / 2, top / 1.08]) {
			c.beginPath();
			c.moveTo(LEFT, Math.round(y(v)) + 0.5);
			c.lineTo(width, Math.round(y(v)) + 0.5);
			c.stroke();
			c.fillText(label(v), LEFT - 5, y(v));
		}
		c.textBaseline = "alphabetic";
		c.textAlign = "left";
		c.fillText(clock(from, false), LEFT, height - 3);
		c.textAlign = "right";
		c.fillText(clock(to, false), width - 2, height - 3);
		for (const s of series) {
			c.fillStyle = c.strokeStyle = cssColour(s.colour);
			if (s.kind === "bars") {
				s.values.forEach((v, i) => v > 0 && c.fillRect(x(i) + 0.5, y(v), Math.max(1, x(1) - x(0) - 1), height - BOTTOM - y(v)));
				continue;
			}
			c.lineWidth = 1.5;
			c.beginPath();
			let down = false;
			s.values.forEach((v, i) => {
				if (!Number.isFinite(v)) return;
				const middle = x(i + 0.5);
				if (down) c.lineTo(middle, y(v));
				else c.moveTo(middle, y(v));
				c.fillRect(middle - 1.5, y(v) - 1.5, 3, 3);
				down = true;
			});
			c.stroke();
		}
	});
	const resized = new ResizeObserver(draw);
	resized.observe(canvas);
	return h("div", { class: "card chart" }, h("h3", {}, title), note ? h("p", {}, note) : null, canvas);
}
