// The windows as columns of a stacked chart: which programs are shown, where columns stand, which of them a span has.

/** Programs that have a colour of their own; the others are one. */
const SHOWN = 11;
const OTHERS = "…";

/** The programs that are shown, largest first, with what they have; then the others, if there are any. */
export function series({ programs, windows }) {
  const sums = programs.map(() => 0);
  for (const { totals } of windows) for (const [program, value] of totals) sums[program] += value;
  const order = programs.map((_, index) => index).filter((index) => programs[index] !== OTHERS);
  order.sort((one, other) => sums[other] - sums[one]);
  const shown = order.slice(0, SHOWN).filter((index) => sums[index] > 0);
  const list = shown.map((index) => ({ name: programs[index], value: sums[index] }));
  const all = sums.reduce((sum, value) => sum + value, 0);
  const rest = all - list.reduce((sum, { value }) => sum + value, 0);
  if (rest > 0) list.push({ name: OTHERS, value: rest });
  return { list, all };
}

/** For each window its time, and what each of the series has, in CPU seconds a second. */
export function columns({ programs, windows }, list) {
  const places = new Map(list.map(({ name }, place) => [name, place]));
  const rest = places.get(OTHERS);
  return windows.map(({ started_at_ms: from, duration_ms: duration, totals }) => {
    const parts = list.map(() => 0);
    for (const [program, value] of totals) {
      const place = places.get(programs[program]) ?? rest;
      if (place !== undefined) parts[place] += value / 1e6 / Math.max(duration, 1);
    }
    return { from, to: from + duration, parts, sum: parts.reduce((sum, part) => sum + part, 0) };
  });
}

/** The span of whole windows that lie, or begin to, between two times; nothing when there are none. */
export function wholeWindows(columns, from, to) {
  const inside = columns.filter((column) => column.to > from && column.from < to);
  return inside.length ? { from: inside[0].from, to: inside[inside.length - 1].to } : null;
}

/** A round number not below the largest sum, for the top of the chart. */
export function topOf(columns) {
  const largest = Math.max(0, ...columns.map((column) => column.sum));
  if (largest <= 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(largest));
  // A CPU that was busy all the time may have a sample more than fits.
  return [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((factor) => factor * unit).find((top) => top >= largest * 0.97);
}

/** What the chart shows of the time asked for: all of it, or, when there is little yet, what there is and as much again. */
export function rangeOf(windows, from, to) {
  if (!windows.length) return { from, to };
  const first = windows[0].started_at_ms;
  const least = 12 * Math.max(...windows.map(({ duration_ms: duration }) => duration));
  return { from: Math.max(from, Math.min(first - (to - first), to - least)), to };
}
