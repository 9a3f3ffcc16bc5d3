// What the page works out by itself, without a browser: `node --test tests/page`.

import assert from "node:assert/strict";
import { test } from "node:test";

const part = (name) => import(`../../profiler/src/serve/page/${name}.mjs`);
const { layOut, visible, pathTo, matcher, search, byName, points } = await part("tree");
const { series, columns, wholeWindows, topOf, rangeOf } = await part("columns");
const { amount, percent, change, clock, duration, ticks } = await part("format");
const { parse, format, query } = await part("state");
const { ofProgram, ofFrame } = await part("colors");

// all(10) ─ main(9) ─ work(6) ─ main(2), leaf(3); main ─ leaf(2)
const small = () =>
  layOut({
    names: ["all", "main", "work", "leaf"],
    nodes: [
      [0, 0, 10, 1, 5, 0],
      [1, 1, 9, 1, 5, 1],
      [2, 2, 6, 1, 4, 4],
      [3, 3, 3, 3, 0, 0],
      [3, 1, 2, 2, 0, 0],
      [2, 3, 2, 2, 0, 0],
    ],
  });

test("frames lie below their callers, side by side", () => {
  const tree = small();
  assert.deepEqual([...tree.start], [0, 0, 0, 0, 3, 6]);
  assert.deepEqual([...tree.parent], [-1, 0, 1, 2, 2, 1]);
  assert.deepEqual([...tree.end], [6, 6, 5, 4, 5, 6]);
  assert.deepEqual(pathTo(tree, 4), [0, 1, 2, 4]);
});

test("what is too narrow is left out with all below it, and a zoom fills the width", () => {
  const tree = small();
  assert.deepEqual(
    visible(tree, 0, 100, 25).map(([node]) => node),
    [0, 1, 2, 3],
  );
  const zoomed = visible(tree, 2, 60, 1);
  assert.deepEqual(zoomed, [[0, 0, 60], [1, 0, 60], [2, 0, 60], [3, 0, 30], [4, 30, 20]]);
  assert.deepEqual(visible(layOut({ names: [], nodes: [] }), 0, 100, 1), []);
});

test("a search counts everything once", () => {
  const tree = small();
  assert.equal(search(tree, matcher("MAIN")).value, 9);
  assert.equal(search(tree, matcher("^leaf$")).value, 5);
  assert.equal(search(tree, matcher("work|leaf")).value, 8);
  // No regular expression is taken as it is written.
  assert.equal(matcher("std::vec<(")("a std::vec<(x)"), true);
  assert.equal(matcher(""), null);
});

test("a recursion counts once in the table", () => {
  const rows = Object.fromEntries(byName(small()).map((row) => [row.name, row]));
  assert.equal(rows.main.own, 3);
  assert.equal(rows.main.total, 9);
  assert.equal(rows.leaf.total, 5);
  assert.equal(rows.work.ownBefore, 4);
  assert.equal("all" in rows, false);
  assert.equal(points(5, 10, 1, 4), 25);
  assert.equal(points(0, 0, 0, 0), 0);
});

test("a tree of 20,000 frames is laid out and drawn", () => {
  const nodes = [[0, 0, 19999, 0, 0, 0]];
  for (let chain = 0; chain < 40; chain++) {
    const length = 500;
    for (let depth = 1; depth < length; depth++) nodes.push([depth, depth % 7, 499, depth === length - 1 ? 499 : 0, 0, 0]);
  }
  const tree = layOut({ names: ["all", "b", "c", "d", "e", "f", "g"], nodes });
  assert.equal(tree.deepest, 499);
  assert.ok(visible(tree, 0, 1400, 0.5).length > 19000);
  assert.equal(search(tree, matcher("b")).value, 40 * 499);
});

const windows = [
  { started_at_ms: 1000000, duration_ms: 60000, totals: [[0, 60e9, 6], [1, 30e9, 3]] },
  { started_at_ms: 1060000, duration_ms: 60000, totals: [[1, 60e9, 6]] },
  // A suspend: nothing for ten minutes.
  { started_at_ms: 1720000, duration_ms: 60000, totals: [[0, 6e9, 1], [2, 1e9, 1]] },
];
const totals = { unit: "nanoseconds", programs: ["a", "b", "…"], windows };

test("columns are in CPUs, programs in the order of their sums, what is small with the others", () => {
  const { list, all } = series(totals);
  assert.deepEqual(list.map(({ name }) => name), ["b", "a", "…"]);
  assert.equal(all, 157e9);
  const [first, , last] = columns(totals, list);
  assert.deepEqual(first.parts, [0.5, 1, 0]);
  assert.ok(Math.abs(last.sum - 7 / 60) < 1e-9);
  assert.equal(topOf(columns(totals, list)), 1.5);
  assert.equal(topOf([]), 1);
  const many = {
    programs: Array.from({ length: 30 }, (_, number) => `p${number}`),
    windows: [{ started_at_ms: 0, duration_ms: 1000, totals: Array.from({ length: 30 }, (_, number) => [number, 1e6 * (number + 1), 1]) }],
  };
  const shown = series(many).list;
  assert.equal(shown.length, 12);
  assert.equal(shown[11].name, "…");
  assert.equal(shown[11].value, 190e6);
});

test("spans are whole windows, and a gap stays one", () => {
  const shown = columns(totals, series(totals).list);
  assert.deepEqual(wholeWindows(shown, 1030000, 1031000), { from: 1000000, to: 1060000 });
  assert.deepEqual(wholeWindows(shown, 1030000, 1800000), { from: 1000000, to: 1780000 });
  assert.equal(wholeWindows(shown, 1200000, 1500000), null);
  assert.equal(shown[2].from - shown[1].to, 600000);
});

test("a chart with little in it shows less time", () => {
  assert.deepEqual(rangeOf([], 1, 2), { from: 1, to: 2 });
  assert.equal(rangeOf(windows, 0, 4600000).from, 0);
  const young = [{ started_at_ms: 3590000, duration_ms: 1000 }];
  assert.equal(rangeOf(young, 0, 3600000).from, 3580000);
});

test("numbers and times are short", () => {
  assert.equal(amount(1.5e9, "nanoseconds"), "1.50 s");
  assert.equal(amount(2e6, "nanoseconds"), "2.00 ms");
  assert.equal(amount(0, "nanoseconds"), "0 s");
  assert.equal(amount(36e12, "nanoseconds"), "10.0 h");
  assert.equal(amount(1234, "count"), "1,234 count");
  assert.equal(percent(1, 3), "33.3 %");
  assert.equal(percent(1, 10000), "<0.1 %");
  assert.equal(percent(1, 0), "0 %");
  assert.equal(change(1.26), "+1.3");
  assert.equal(change(-3), "−3.0");
  assert.equal(change(0.01), "±0");
  assert.equal(duration(90000), "90 s");
  assert.equal(duration(7200000), "2.0 h");
  const noon = new Date(2026, 10, 25, 12, 5, 9).getTime();
  assert.equal(clock(noon, noon), "12:05");
  assert.equal(clock(noon, noon, true), "12:05:09");
  assert.equal(clock(noon, noon + 86400e3), "2026-11-25 12:05");
  const marks = ticks(noon, noon + 3600e3, 12);
  assert.ok(marks.length >= 11 && marks.length <= 13);
  assert.ok(marks.every((mark) => new Date(mark).getMinutes() % 5 === 0));
});

test("the address keeps what is shown, and nonsense in it does no harm", () => {
  const state = { range: "6h", by: "file", span: { from: 1, to: 2 }, before: { from: 3, to: 9 }, program: "a b&c", search: "^x$" };
  assert.deepEqual(parse(format(state)), state);
  assert.equal(format(parse("")), "");
  const usual = parse("#range=9y&by=x&span=2-1&before=abc&unknown=1");
  assert.deepEqual(usual, { range: "1h", by: "function", span: null, before: null, program: null, search: "" });
});

test("queries take the windows of a span and none beside it", () => {
  const asked = new URLSearchParams(query({ from: 1000000, to: 1060000 }, { from: 1, to: 1000 }, "sh", { by: "file" }));
  assert.equal(asked.get("from"), "1000.001");
  assert.equal(asked.get("to"), "1059.999");
  assert.equal(asked.get("before_to"), "0.999");
  assert.equal(asked.get("comm"), "sh");
  assert.equal(asked.get("by"), "file");
});

test("colours stay with the name", () => {
  assert.equal(ofProgram("postgres", true), ofProgram("postgres", true));
  assert.notEqual(ofFrame("a", false), ofFrame("b", false));
});
