// Numbers as the programs print them (lib/base/progress.cc).

export function formatCount(n) {
  return Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, ",");
}

export function formatDuration(seconds) {
  const s = Math.max(0, Math.round(seconds)), two = (n) => String(Math.floor(n)).padStart(2, "0");
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m ${two(s % 60)}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h ${two((s / 60) % 60)}m`;
  return `${Math.floor(s / 86400)}d ${two((s / 3600) % 24)}h`;
}

// Four figures; thousands whole and with commas.
export function formatValue(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1000 && size < 9e15) return formatCount(value);
  return short(value, 4);
}

export function formatShare(value) {
  return Number.isFinite(value) ? `${short(100 * value, 3)}%` : "–";
}

// So many figures, without zeros at the end: 0.5, 1.2e-5.
export function short(value, figures) {
  const rounded = Number(value.toPrecision(figures));
  return rounded !== 0 && Math.abs(rounded) < 1e-4 ? rounded.toExponential() : String(rounded);
}
