// The chart of what ran: drawing, and choosing a span with pointer or keys.

import * as colors from "./colors.mjs";
import { topOf, wholeWindows } from "./columns.mjs";
import { amount, clock, duration, percent, ticks } from "./format.mjs";

const LEFT = 44;
const BOTTOM = 22;
const TOP = 8;

export class Chart {
  /** Tells `chosen` of each span of whole windows that somebody chooses; `tip` shows a text at a place. */
  constructor(canvas, tip, chosen) {
    Object.assign(this, { canvas, tip, chosen, columns: [], list: [], span: null, before: null, program: null });
    this.range = { from: Date.now() - 3600e3, to: Date.now() };
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.release(event));
    canvas.addEventListener("pointercancel", () => ((this.pressed = null), this.draw()));
    canvas.addEventListener("pointerleave", () => this.tip.hide());
    canvas.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  show(parts) {
    Object.assign(this, parts);
    this.draw();
  }

  get inner() {
    return { width: this.canvas.clientWidth - LEFT, height: this.canvas.clientHeight - TOP - BOTTOM };
  }

  x(ms) {
    return LEFT + ((ms - this.range.from) / (this.range.to - this.range.from)) * this.inner.width;
  }

  time(x) {
    return this.range.from + ((x - LEFT) / this.inner.width) * (this.range.to - this.range.from);
  }

  draw() {
    const { canvas } = this;
    const ratio = devicePixelRatio || 1;
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = canvas.clientHeight * ratio;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const style = getComputedStyle(canvas);
    const color = (name) => style.getPropertyValue(name);
    const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
    const { width, height } = this.inner;
    const top = topOf(this.columns);
    pen.font = `11px ${style.fontFamily}`;
    this.axes(pen, color, top);
    pen.save();
    pen.beginPath();
    pen.rect(LEFT, 0, width, TOP + height);
    pen.clip();
    for (const column of this.columns) {
      const left = this.x(column.from);
      const right = this.x(column.to);
      // A hairline between columns while there is room for it.
      const wide = Math.max(right - left - (right - left > 5 ? 1 : 0), 1);
      let y = TOP + height;
      column.parts.forEach((part, place) => {
        const high = (part / top) * height;
        const { name } = this.list[place];
        pen.globalAlpha = !this.program || this.program === name ? 1 : 0.25;
        pen.fillStyle = colors.ofProgram(name, isDark);
        pen.fillRect(left, y - high, wide, high);
        y -= high;
      });
    }
    pen.globalAlpha = 1;
    this.mark(pen, this.before, color("--before"), color("--before-line"));
    this.mark(pen, this.pressed ? this.between() : this.span, color("--chosen"), color("--accent"));
    pen.restore();
  }

  axes(pen, color, top) {
    const { width, height } = this.inner;
    pen.fillStyle = color("--faint");
    pen.strokeStyle = color("--line");
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const part of [0, 0.5, 1]) {
      const y = TOP + height * (1 - part);
      pen.fillText(part ? `${+(top * part).toPrecision(2)}` : "0", LEFT - 6, y);
      pen.beginPath();
      pen.moveTo(LEFT, Math.round(y) + 0.5);
      pen.lineTo(LEFT + width, Math.round(y) + 0.5);
      pen.stroke();
    }
    pen.save();
    pen.translate(10, TOP + height / 2);
    pen.rotate(-Math.PI / 2);
    pen.textAlign = "center";
    pen.fillText("CPUs", 0, 0);
    pen.restore();
    pen.textBaseline = "top";
    pen.textAlign = "center";
    const marks = ticks(this.range.from, this.range.to, Math.max(2, width / 90));
    const withSeconds = marks.length > 1 && marks[1] - marks[0] < 60000;
    for (const mark of marks) {
      const x = this.x(mark);
      const text = clock(mark, Date.now(), withSeconds);
      if (x > LEFT + 24 && x < LEFT + width - 24) pen.fillText(text, x, TOP + height + 6);
    }
  }

  mark(pen, span, fill, line) {
    if (!span) return;
    const left = this.x(span.from);
    const right = this.x(span.to);
    pen.fillStyle = fill;
    pen.fillRect(left, 0, right - left, TOP + this.inner.height);
    pen.strokeStyle = line;
    pen.lineWidth = 1.5;
    pen.strokeRect(left, 1, right - left, TOP + this.inner.height - 1);
    pen.lineWidth = 1;
  }

  at(event) {
    return event.clientX - this.canvas.getBoundingClientRect().left;
  }

  between() {
    const [from, to] = [this.time(this.pressed.from), this.time(this.pressed.to)].sort((one, other) => one - other);
    return wholeWindows(this.columns, from, Math.max(to, from + 1));
  }

  press(event) {
    if (event.button) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.pressed = { from: this.at(event), to: this.at(event) };
    this.draw();
  }

  move(event) {
    if (this.pressed) {
      this.pressed.to = this.at(event);
      this.draw();
    }
    const time = this.time(this.at(event));
    const column = this.columns.find((column) => column.from <= time && time < column.to);
    if (!column) return this.tip.hide();
    const most = this.list
      .map(({ name }, place) => ({ name, part: column.parts[place] }))
      .filter(({ part }) => part > 0)
      .sort((one, other) => other.part - one.part)
      .slice(0, 6);
    const lines = most.map(({ name, part }) => `${name === "…" ? "others" : name}  ${percent(part, column.sum)}`);
    const length = column.to - column.from;
    const spent = amount(column.sum * length * 1e6, "nanoseconds");
    this.tip.show(`${clock(column.from, Date.now(), true)}, ${duration(length)}: ${spent} of CPU\n${lines.join("\n")}`, event);
  }

  release() {
    if (!this.pressed) return;
    const span = this.between();
    this.pressed = null;
    if (span) this.chosen(span);
    this.draw();
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !this.columns.length) return;
    event.preventDefault();
    const last = this.columns.length - 1;
    const first = this.span ? this.columns.findIndex((column) => column.from >= this.span.from) : last + (step < 0 ? 1 : 0);
    const ends = this.columns.filter((column) => column.to <= (this.span?.to ?? 0)).length - 1;
    const clamp = (place) => Math.min(Math.max(place, 0), last);
    // With shift the end of the span moves, without it the whole.
    const from = event.shiftKey && this.span ? clamp(first) : clamp((first < 0 ? last : first) + step);
    const to = event.shiftKey && this.span ? Math.max(clamp(ends + step), from) : from;
    this.chosen({ from: this.columns[from].from, to: this.columns[to].to });
  }
}
