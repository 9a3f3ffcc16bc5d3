// What the page shows, as the part of its address behind `#`, so that it can be kept and passed on.

const RANGES = { "15m": 900e3, "1h": 3600e3, "6h": 21600e3, "24h": 86400e3 };

/** Milliseconds of a range. */
export function rangeMs(range) {
  return RANGES[range];
}

/** Reads it; what makes no sense is as if it were not there. */
export function parse(fragment) {
  const given = new URLSearchParams(fragment.replace(/^#/, ""));
  const span = (key) => {
    const [from, to] = (given.get(key) ?? "").split("-").map(Number);
    return Number.isFinite(from) && Number.isFinite(to) && 0 < from && from < to ? { from, to } : null;
  };
  const among = (key, values) => (values.includes(given.get(key)) ? given.get(key) : values[0]);
  return {
    range: among("range", ["1h", ...Object.keys(RANGES)]),
    by: among("by", ["function", "file", "binary"]),
    span: span("span"),
    before: span("before"),
    program: given.get("program") || null,
    search: given.get("search") ?? "",
  };
}

/** Writes it; what is as usual is left out. */
export function format(state) {
  const parts = new URLSearchParams();
  if (state.range !== "1h") parts.set("range", state.range);
  if (state.by !== "function") parts.set("by", state.by);
  for (const key of ["span", "before"]) {
    if (state[key]) parts.set(key, `${state[key].from}-${state[key].to}`);
  }
  if (state.program) parts.set("program", state.program);
  if (state.search) parts.set("search", state.search);
  const text = parts.toString();
  return text ? `#${text}` : "";
}

/** The query for what is spent in a span, by a program if one is chosen. Windows are taken whole, so a span that ends where one
 *  begins must not take it: it is in milliseconds, and windows may begin within one. */
export function query(span, before, program, more = {}) {
  const seconds = (ms) => (ms / 1000).toFixed(3);
  const parts = new URLSearchParams({ from: seconds(span.from + 1), to: seconds(span.to - 1), ...more });
  if (program) parts.set("comm", program);
  if (before) {
    parts.set("before_from", seconds(before.from + 1));
    parts.set("before_to", seconds(before.to - 1));
  }
  return parts.toString();
}
