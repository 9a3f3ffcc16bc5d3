// Colours that stay the same for the same name.

/** A number from a text, spread well (FNV-1a, 32 bits). */
export function hash(text) {
  let sum = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) sum = Math.imul(sum ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return sum;
}

/** Of a program in the chart. */
export function ofProgram(name, isDark) {
  if (name === "…") return isDark ? "#5b636c" : "#b9bfc6";
  const number = hash(name);
  const hue = number % 360;
  const light = (isDark ? 52 : 56) + ((number >>> 9) % 3) * 6;
  return `hsl(${hue} ${isDark ? 45 : 55}% ${light}%)`;
}

/** Of a frame in the flame graph: warm for programs, cool for the kernel and what has no name. */
export function ofFrame(name, isDark) {
  const number = hash(name);
  const light = (isDark ? 38 : 74) + ((number >>> 8) % 5) * 2;
  if (name === "…" || name === "all") return isDark ? "#4a5159" : "#d3d7db";
  if (name.startsWith("[")) return `hsl(${200 + (number % 30)} ${isDark ? 22 : 30}% ${light}%)`;
  return `hsl(${12 + (number % 42)} ${isDark ? 48 : 78}% ${light}%)`;
}

/** Of a frame that is compared: red has become more, blue less; `points` of percent of all. */
export function ofChange(points, isDark) {
  const strength = Math.min(1, Math.sqrt(Math.abs(points) / 20));
  if (Math.abs(points) < 0.05) return isDark ? "hsl(220 5% 35%)" : "hsl(220 8% 86%)";
  const hue = points > 0 ? 6 : 216;
  const light = isDark ? 33 + 12 * strength : 86 - 26 * strength;
  return `hsl(${hue} ${Math.round(30 + 45 * strength)}% ${Math.round(light)}%)`;
}
