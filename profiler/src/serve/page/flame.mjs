// The flame graph: drawing what can be seen of it, and moving in it with pointer or keys.
//
// On a canvas of the size of what is seen, since a tree has up to some ten thousand frames and may be 500 deep. What it
// shows is told in words beside it and in the table, for those who do not see it.

import * as colors from "./colors.mjs";
import { amount, change, percent } from "./format.mjs";
import { pathTo, points, visible } from "./tree.mjs";

const ROW = 19;
const NARROWEST = 0.5;
const LABELLED = 28;

export class Flame {
  /** `box` has a canvas and what gives it its height. `tell` gets a text about the frame one is at, `zoomed` the node. */
  constructor(box, tip, { tell, zoomed }) {
    Object.assign(this, { box, tip, tell, zoomed, tree: null, unit: "", zoom: 0, at: -1, hits: null, isCompared: false });
    this.canvas = box.querySelector("canvas");
    this.height = box.querySelector(".height");
    this.canvas.addEventListener("pointermove", (event) => this.hover(event));
    this.canvas.addEventListener("pointerleave", () => tip.hide());
    this.canvas.addEventListener("click", (event) => this.click(event));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("blur", () => ((this.at = -1), this.draw()));
    box.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(box);
  }

  show(parts) {
    Object.assign(this, parts);
    if ("tree" in parts) {
      this.zoom = 0;
      this.at = -1;
      this.box.scrollTop = 0;
    }
    this.draw();
  }

  draw() {
    const { box, canvas, tree } = this;
    const width = box.clientWidth;
    const rows = tree?.count ? tree.deepest + 1 : 1;
    const whole = Math.max(rows * ROW + 1, 120);
    const seen = Math.min(whole, Math.max(120, Math.round(innerHeight * 0.72)));
    const ratio = devicePixelRatio || 1;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${seen}px`;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(seen * ratio);
    this.height.style.height = `${whole - seen}px`;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const style = getComputedStyle(canvas);
    this.isDark = matchMedia("(prefers-color-scheme: dark)").matches;
    this.ink = style.getPropertyValue("--ink");
    this.ground = style.getPropertyValue("--panel");
    this.hit = style.getPropertyValue("--hit");
    pen.font = `12px ${style.fontFamily}`;
    pen.textBaseline = "middle";
    if (!tree?.count) {
      pen.fillStyle = style.getPropertyValue("--faint");
      pen.textAlign = "center";
      pen.fillText(this.empty ?? "", width / 2, 60);
      this.drawn = [];
      return;
    }
    this.drawn = visible(tree, this.zoom, width, NARROWEST);
    const first = Math.floor(box.scrollTop / ROW);
    const last = first + Math.ceil(seen / ROW);
    for (const [node, left, wide] of this.drawn) {
      const depth = tree.depth[node];
      if (depth >= first && depth <= last) this.frame(pen, node, left, wide, depth * ROW - box.scrollTop);
    }
  }

  frame(pen, node, left, wide, y) {
    const { tree } = this;
    const name = tree.names[tree.name[node]];
    const isHit = this.hits?.[tree.name[node]];
    const isAbove = node < this.zoom;
    pen.globalAlpha = isAbove ? 0.55 : this.hits && !isHit ? 0.4 : 1;
    pen.fillStyle = isHit ? this.hit : this.colorOf(node, name);
    pen.fillRect(left, y, Math.max(wide - (wide > 3 ? 1 : 0), NARROWEST), ROW - 1);
    if (wide > LABELLED) {
      pen.globalAlpha = 1;
      pen.fillStyle = isHit ? (this.isDark ? "#16181b" : "#ffffff") : this.ink;
      const text = fitted(pen, name, wide - 8);
      if (text) pen.fillText(text, left + 4, y + ROW / 2);
    }
    pen.globalAlpha = 1;
    if (node === this.at) {
      pen.strokeStyle = this.ink;
      pen.lineWidth = 2;
      pen.strokeRect(left + 1, y + 1, Math.max(wide - 3, 1), ROW - 3);
    }
  }

  colorOf(node, name) {
    if (!this.isCompared) return colors.ofFrame(name, this.isDark);
    return colors.ofChange(this.changeOf(node), this.isDark);
  }

  changeOf(node) {
    const { tree } = this;
    return points(tree.value[node], tree.value[0], tree.valueBefore[node], tree.valueBefore[0]);
  }

  about(node) {
    const { tree, unit } = this;
    const value = tree.value[node];
    const parent = tree.parent[node];
    const parts = [
      `${amount(value, unit)} of CPU, ${percent(value, tree.value[0])} of all`,
      parent > 0 ? `${percent(value, tree.value[parent])} of its caller` : "",
      tree.own[node] ? `own ${amount(tree.own[node], unit)}` : "",
      this.isCompared ? `${change(this.changeOf(node))} points` : "",
    ];
    return { name: tree.names[tree.name[node]], numbers: parts.filter(Boolean).join(", ") };
  }

  nodeAt(event) {
    if (!this.tree?.count) return -1;
    const place = this.canvas.getBoundingClientRect();
    const x = event.clientX - place.left;
    const depth = Math.floor((event.clientY - place.top + this.box.scrollTop) / ROW);
    const found = this.drawn.find(
      ([node, left, wide]) => this.tree.depth[node] === depth && left <= x && x < left + Math.max(wide, NARROWEST),
    );
    return found ? found[0] : -1;
  }

  hover(event) {
    const node = this.nodeAt(event);
    if (node < 0) return this.tip.hide();
    const { name, numbers } = this.about(node);
    this.tip.show(`${name}\n${numbers}`, event);
  }

  click(event) {
    const node = this.nodeAt(event);
    if (node < 0) return;
    const { name, numbers } = this.about(node);
    this.tell(`${name}: ${numbers}`);
    this.zoomTo(node);
  }

  zoomTo(node) {
    this.zoom = node;
    this.at = document.activeElement === this.canvas ? node : -1;
    this.draw();
    this.zoomed(pathTo(this.tree, node));
  }

  key(event) {
    if (!this.tree?.count) return;
    const from = this.at < 0 ? this.zoom : this.at;
    const next = {
      ArrowUp: () => this.tree.parent[from],
      ArrowDown: () => (from + 1 < this.tree.end[from] ? from + 1 : from),
      ArrowRight: () => this.beside(from, 1),
      ArrowLeft: () => this.beside(from, -1),
      Enter: () => (this.zoomTo(from), from),
      Escape: () => (this.zoomTo(Math.max(this.tree.parent[this.zoom], 0)), this.zoom),
    }[event.key];
    if (!next) return;
    event.preventDefault();
    this.at = Math.max(next(), 0);
    const y = this.tree.depth[this.at] * ROW;
    if (y < this.box.scrollTop) this.box.scrollTop = y;
    if (y + ROW > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = y + ROW - this.box.clientHeight;
    const { name, numbers } = this.about(this.at);
    this.tell(`${name}: ${numbers}`);
    this.draw();
  }

  /** The frame that is drawn on the same row, to the right or to the left. */
  beside(from, step) {
    const row = this.drawn.filter(([node]) => this.tree.depth[node] === this.tree.depth[from]);
    const place = row.findIndex(([node]) => node === from);
    return row[place + step]?.[0] ?? from;
  }
}

/** As much of a text as is so wide. */
function fitted(pen, text, width) {
  const full = pen.measureText(text).width;
  if (full <= width) return text;
  let letters = Math.floor((text.length * width) / full);
  while (letters > 1 && pen.measureText(`${text.slice(0, letters)}…`).width > width) letters--;
  return letters < 2 ? "" : `${text.slice(0, letters)}…`;
}
