// The page: what was asked of the server, what is shown of it, and what somebody does with it.

import { Chart } from "./chart.mjs";
import * as colors from "./colors.mjs";
import { columns, rangeOf, series } from "./columns.mjs";
import { Flame } from "./flame.mjs";
import { amount, change, clock, duration, percent } from "./format.mjs";
import * as address from "./state.mjs";
import { byName, layOut, matcher, points, search } from "./tree.mjs";

const ROWS = 60;
/** How soon what nobody has chosen is asked for again; windows are seldom shorter. */
const SOONEST = 2000;
const LATEST = 60000;

const $ = (id) => document.getElementById(id);
let state = address.parse(location.hash);
let totals = { unit: "", programs: [], windows: [] };
let isComparing = false;
let asked = 0;

const tip = {
  show(text, { clientX, clientY }) {
    const box = $("tip");
    box.textContent = text;
    box.hidden = false;
    const { width, height } = box.getBoundingClientRect();
    box.style.left = `${Math.max(6, Math.min(clientX + 14, innerWidth - width - 6))}px`;
    box.style.top = `${clientY + 18 + height > innerHeight ? clientY - height - 10 : clientY + 18}px`;
  },
  hide() {
    $("tip").hidden = true;
  },
};

const chart = new Chart($("chart"), tip, (span) => {
  if (isComparing) setState({ before: span });
  else setState({ span });
  isComparing = false;
  showCompare();
});
const flame = new Flame($("flame"), tip, {
  tell: (text) => ($("frame").textContent = text),
  zoomed: showPath,
});

async function get(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error((await answer.text()).trim() || answer.statusText);
  return answer.json();
}

/** Shows what goes wrong, in the server's words, until it goes right. */
async function trying(work) {
  try {
    await work();
    $("trouble").hidden = true;
  } catch (error) {
    $("trouble").textContent = `The profiler does not answer as it should: ${error.message}`;
    $("trouble").hidden = false;
  }
}

/** Another state, which goes into the address; what somebody types letter by letter takes the place of what was there. */
function setState(parts, { isNew = true } = {}) {
  const next = { ...state, ...parts };
  const shown = address.format(next) || location.pathname;
  if (isNew) history.pushState(null, "", shown);
  else history.replaceState(null, "", shown);
  adopt(next);
}

/** Shows another state: only what differs is asked for again. */
function adopt(next) {
  const before = state;
  state = next;
  const differs = (key) => JSON.stringify(before[key]) !== JSON.stringify(state[key]);
  if (differs("range")) refresh();
  else showChart();
  if (["span", "before", "program", "by"].some(differs)) loadTree();
  if (differs("search")) showSearch();
  showChoices();
}

async function refresh() {
  await trying(async () => {
    const range = address.rangeMs(state.range);
    const from = Date.now() - range;
    totals = await get(`/profiles/totals?from=${(from / 1000).toFixed(3)}`);
    chart.range = rangeOf(totals.windows, from, Date.now());
    showChart();
    if (!state.span) await loadTree();
  });
  clearTimeout(refresh.timer);
  const last = totals.windows[totals.windows.length - 1];
  const length = Math.min(Math.max(last?.duration_ms ?? SOONEST, SOONEST), LATEST);
  refresh.timer = setTimeout(() => !document.hidden && refresh(), length);
}

function showChart() {
  const { list, all } = series(totals);
  chart.show({ columns: columns(totals, list), list, span: state.span, before: state.before, program: state.program });
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  $("legend").replaceChildren(
    ...list.map(({ name, value }) => {
      const button = element("button", { type: "button" });
      const swatch = element("span", { className: "swatch" });
      swatch.style.background = colors.ofProgram(name, isDark);
      button.append(
        swatch,
        element("span", { className: "name", textContent: name === "…" ? "others" : name }),
        element("span", { className: "share", textContent: percent(value, all) }),
      );
      button.setAttribute("aria-pressed", state.program === name);
      button.disabled = name === "…";
      button.title = `${amount(value, totals.unit)} of CPU`;
      button.addEventListener("click", () => setState({ program: state.program === name ? null : name }));
      const item = element("li");
      item.append(button);
      return item;
    }),
  );
  $("chart-hint").textContent = totals.windows.length
    ? "Drag over a time, or press the arrow keys, to see what it was spent on."
    : "No window yet: the first one comes when its time is over.";
}

/** The span that is shown: what was chosen, or all that the chart has. */
function shownSpan() {
  const { windows } = totals;
  if (state.span || !windows.length) return state.span;
  const last = windows[windows.length - 1];
  return { from: windows[0].started_at_ms, to: last.started_at_ms + last.duration_ms };
}

async function loadTree() {
  const span = shownSpan();
  const number = ++asked;
  if (!span) return flame.show({ tree: null, empty: "No window yet" });
  await trying(async () => {
    const query = address.query(span, state.before, state.program, { by: state.by });
    const answer = await get(`/profiles/tree?${query}`);
    // Somebody may have chosen something else meanwhile.
    if (number !== asked) return;
    const tree = layOut(answer);
    flame.show({
      tree: tree.value[0] > 0 || tree.valueBefore[0] > 0 ? tree : null,
      unit: answer.unit,
      isCompared: Boolean(state.before),
      empty: state.program ? `${state.program} has no samples in this time` : "Nothing ran in this time",
    });
    showPath([0]);
    $("frame").textContent = "\u00a0";
    showSpan(span, answer);
    showSearch();
    showTop();
  });
}

function showSpan(span, answer) {
  const zone = Intl.DateTimeFormat("en", { timeZoneName: "short" }).formatToParts().find(({ type }) => type === "timeZoneName");
  const time = ({ from, to }) => `${clock(from, Date.now(), true)} to ${clock(to, Date.now(), true)}`;
  const parts = [
    `${time(span)} ${zone?.value ?? ""} (${duration(span.to - span.from)})`,
    `${answer.windows} ${answer.windows === 1 ? "window" : "windows"}`,
    flame.tree ? `${amount(flame.tree.value[0], answer.unit)} of CPU` : "",
    state.program ? `of ${state.program}` : "",
    state.before ? `compared with ${time(state.before)}` : "",
    answer.windows_skipped ? `${answer.windows_skipped} could not be read` : "",
  ];
  $("span").textContent = parts.filter(Boolean).join(" · ");
  const path = `/profiles/merge?${address.query(span, null, state.program)}`;
  $("download").href = path;
  $("command").dataset.command = `go tool pprof -http=: '${location.origin}${path}'`;
}

function showSearch() {
  const matches = matcher(state.search);
  if (!flame.tree || !matches) {
    $("matches").textContent = "";
    return flame.show({ hits: null });
  }
  const { hits, value } = search(flame.tree, matches);
  $("matches").textContent = `${percent(value, flame.tree.value[0])} match`;
  flame.show({ hits });
}

function showPath(path) {
  $("path").replaceChildren(
    ...(path.length > 1 ? path : []).map((node) => {
      const button = element("button", { type: "button", textContent: flame.tree.names[flame.tree.name[node]] });
      button.addEventListener("click", () => flame.zoomTo(node));
      const item = element("li");
      item.append(button);
      return item;
    }),
  );
}

function showTop() {
  const { tree, unit } = flame;
  const isCompared = Boolean(state.before);
  $("top").classList.toggle("compared", isCompared);
  const all = tree?.value[0] ?? 0;
  const allBefore = tree?.valueBefore[0] ?? 0;
  const rows = tree ? byName(tree) : [];
  const moved = (row) => points(row.own, all, row.ownBefore, allBefore);
  if (isCompared) rows.sort((one, other) => Math.abs(moved(other)) - Math.abs(moved(one)));
  $("top").tBodies[0].replaceChildren(
    ...rows.slice(0, ROWS).map((row) => {
      const line = element("tr");
      const cells = [amount(row.own, unit), percent(row.own, all), amount(row.total, unit), percent(row.total, all), change(moved(row))];
      cells.forEach((text, place) => {
        line.append(element("td", { className: place === 4 ? "number before" : "number", textContent: text }));
      });
      const name = element("button", { type: "button", textContent: row.name, title: "Search for it" });
      name.addEventListener("click", () => setState({ search: `^${escaped(row.name)}$` }));
      const cell = element("td");
      cell.append(name);
      line.append(cell);
      return line;
    }),
  );
}

function showChoices() {
  for (const [id, value] of [["ranges", state.range], ["by", state.by]]) {
    for (const button of $(id).children) button.setAttribute("aria-pressed", button.dataset.value === value);
  }
  if ($("search").value !== state.search) $("search").value = state.search;
  showCompare();
}

function showCompare() {
  const button = $("compare");
  button.setAttribute("aria-pressed", isComparing || Boolean(state.before));
  button.textContent = isComparing ? "Drag over the time before" : state.before ? "Stop comparing" : "Compare…";
}

function element(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}

function escaped(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

for (const [id, key] of [["ranges", "range"], ["by", "by"]]) {
  $(id).addEventListener("click", ({ target }) => {
    if (target.dataset.value) setState({ [key]: target.dataset.value });
  });
}
$("search").addEventListener("input", ({ target }) => {
  clearTimeout($("search").timer);
  $("search").timer = setTimeout(() => setState({ search: target.value }, { isNew: false }), 150);
});
$("compare").addEventListener("click", () => {
  if (state.before) setState({ before: null });
  else isComparing = !isComparing;
  showCompare();
});
$("command").addEventListener("click", async ({ target }) => {
  const { command } = target.dataset;
  if (!command) return;
  try {
    await navigator.clipboard.writeText(command);
    target.textContent = "Copied";
    setTimeout(() => (target.textContent = "Copy pprof command"), 1500);
  } catch {
    // Without https there is a clipboard for this machine only.
    $("frame").textContent = command;
  }
});
addEventListener("popstate", () => adopt(address.parse(location.hash)));
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && isComparing) {
    isComparing = false;
    showCompare();
  }
});
document.addEventListener("visibilitychange", () => !document.hidden && refresh());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (showChart(), flame.draw()));

$("host").textContent = location.host;
showChoices();
refresh();
if (state.span) loadTree();
