// Numbers and times as people read them.

/** CPU time: nanoseconds as seconds, with three digits that count; other units as they are. */
export function amount(value, unit) {
  if (unit !== "nanoseconds") return `${value.toLocaleString("en")} ${unit}`.trim();
  const seconds = value / 1e9;
  if (seconds !== 0 && Math.abs(seconds) < 1) return `${digits(seconds * 1000)} ms`;
  if (Math.abs(seconds) < 120) return `${digits(seconds)} s`;
  if (Math.abs(seconds) < 7200) return `${digits(seconds / 60)} min`;
  return `${digits(seconds / 3600)} h`;
}

function digits(number) {
  const size = Math.abs(number);
  return number.toFixed(size >= 100 || number === 0 ? 0 : size >= 10 ? 1 : 2);
}

/** A part of a whole in percent. */
export function percent(part, whole) {
  if (!whole) return "0 %";
  const share = (100 * part) / whole;
  if (share > 0 && share < 0.1) return "<0.1 %";
  return `${share.toFixed(Math.abs(share) >= 99.95 ? 0 : 1)} %`;
}

/** How much a share has changed, in points of percent. */
export function change(points) {
  if (Math.abs(points) < 0.05) return "±0";
  return `${points > 0 ? "+" : "−"}${Math.abs(points).toFixed(1)}`;
}

/** A time of day; with the date when it is another day than `today`. */
export function clock(ms, today = Date.now(), withSeconds = false) {
  const time = new Date(ms);
  const two = (number) => String(number).padStart(2, "0");
  const seconds = withSeconds ? `:${two(time.getSeconds())}` : "";
  const clock = `${two(time.getHours())}:${two(time.getMinutes())}${seconds}`;
  if (time.toDateString() === new Date(today).toDateString()) return clock;
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${clock}`;
}

/** How long something was. */
export function duration(ms) {
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  return `${(minutes / 60).toFixed(1)} h`;
}

/** Times between `from` and `to` for marks on an axis: round ones, at most so many. */
export function ticks(from, to, most) {
  const steps = [1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
  const step = 1000 * (steps.find((step) => (to - from) / 1000 / step <= most) ?? 86400);
  // Of the reader's own clock: zones differ from UTC by half hours, too.
  const zone = new Date(from).getTimezoneOffset() * 60000;
  const marks = [];
  for (let mark = Math.ceil((from - zone) / step) * step + zone; mark <= to; mark += step) marks.push(mark);
  return marks;
}
