// SPDX-License-Identifier: Apache-2.0
// Making elements. Text from outside becomes a text node, never markup.

import { shown } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";

// h("a", { class: "x", href: "#/", onclick: f, style: { width: "3px" } }, "text", element, …)
export function h(tag, props, ...children) {
	return fill(document.createElement(tag), props, children);
}

export function svg(tag, props, ...children) {
	return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
	for (const [name, value] of Object.entries(props || {})) {
		if (value === undefined || value === null || value === false) continue;
		if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
		// By the object model: an attribute "style" is what the page's policy forbids.
		else if (name === "style") for (const [k, v] of Object.entries(value)) element.style.setProperty(k, v);
		else if (name === "value" || name === "checked" || name === "hidden") element[name] = value;
		else element.setAttribute(name, value === true ? "" : value);
	}
	add(element, children);
	return element;
}

export function add(element, children) {
	for (const child of children.flat(Infinity)) {
		if (child === undefined || child === null || child === false) continue;
		element.append(child instanceof Node ? child : document.createTextNode(String(child)));
	}
}

export function replace(element, ...children) {
	element.replaceChildren();
	add(element, children);
}

// A name from outside: isolated, so that its direction does not turn what stands beside it.
export function name(text, limit = 200, props = {}) {
	const whole = String(text);
	return h("bdi", { title: whole.length > 40 ? shown(whole, 1000) : undefined, ...props }, shown(whole, limit));
}

const COLOURS = 10;

// The same service has the same colour on every page and in every trace.
const colours = new Map();

export function colour(service) {
	const known = colours.get(service);
	if (known !== undefined) return known;
	let hash = 5381;
	for (let i = 0; i < service.length && i < 64; i++) hash = ((hash * 33) ^ service.charCodeAt(i)) >>> 0;
	colours.set(service, hash % COLOURS);
	return hash % COLOURS;
}

export function service(text, limit = 40) {
	return h("span", { class: `service c${colour(text)}` }, h("i", {}), name(text, limit));
}

export function cssColour(variable) {
	return getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
}

// A canvas in device pixels; draw(context, width, height) in CSS pixels.
export function paint(canvas, draw) {
	const { clientWidth: width, clientHeight: height } = canvas;
	const scale = window.devicePixelRatio || 1;
	canvas.width = Math.max(1, Math.round(width * scale));
	canvas.height = Math.max(1, Math.round(height * scale));
	const context = canvas.getContext("2d");
	context.setTransform(scale, 0, 0, scale, 0, 0);
	context.clearRect(0, 0, width, height);
	draw(context, width, height);
}

let timer;
export function say(text) {
	const at = document.getElementById("said");
	at.textContent = text;
	at.classList.add("on");
	clearTimeout(timer);
	timer = setTimeout(() => at.classList.remove("on"), 2500);
}

export async function copy(text, what) {
	try {
		await navigator.clipboard.writeText(text);
	} catch {
		// Without a secure context there is no clipboard to write to, but there is a selection.
		const area = h("textarea", { class: "offscreen", "aria-label": what }, text);
		document.body.append(area);
		area.select();
		document.execCommand("copy");
		area.remove();
	}
	say(`${what} copied`);
}

export function notice(error, retry) {
	return h("div", { class: "notice", role: "alert" },
		h("strong", {}, shown(error.what || error.message || String(error))),
		error.why && h("p", {}, shown(error.why)),
		error.do && h("p", {}, shown(error.do)),
		error.status === 401 ? tokenForm(error, retry) : retry && h("button", { type: "button", onclick: retry }, "Try again"));
}

function tokenForm(error, retry) {
	const input = h("input", { type: "password", autocomplete: "off", "aria-label": "Token" });
	const form = h("form", { class: "actions" }, input, h("button", { type: "submit", class: "primary" }, "Use this token"));
	form.addEventListener("submit", (event) => {
		event.preventDefault();
		error.useToken(input.value.trim());
		if (retry) retry();
		else location.reload();
	});
	return form;
}

export function empty(title, ...lines) {
	return h("div", { class: "notice empty" }, h("strong", {}, title), lines.map((line) => h("p", {}, line)));
}

export function code(text) {
	return h("code", {}, text);
}
