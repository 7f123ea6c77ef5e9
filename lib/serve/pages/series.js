// Numbers of curves: what lib/report/svg.cc does for report.html. A value that is no number is a gap.

// Mean of the points on both sides, weighted by 2^(-distance / halfLife), distances in points.
export function smoothed(y, halfLife) {
  if (!(halfLife > 0)) return y;
  const decay = Math.pow(2, -1 / halfLife), sums = new Float64Array(y.length), weights = new Float64Array(y.length);
  let sum = 0, weight = 0;
  // One pass from each side; the point itself is counted by the first only.
  for (let i = 0; i < y.length; ++i) {
    const there = Number.isFinite(y[i]);
    sums[i] = sum = decay * sum + (there ? y[i] : 0);
    weights[i] = weight = decay * weight + (there ? 1 : 0);
  }
  sum = weight = 0;
  for (let i = y.length - 1; i >= 0; --i) {
    const there = Number.isFinite(y[i]);
    sums[i] += decay * sum;
    weights[i] += decay * weight;
    sum = decay * sum + (there ? y[i] : 0);
    weight = decay * weight + (there ? 1 : 0);
  }
  return Array.from(y, (value, i) => (Number.isFinite(value) ? sums[i] / weights[i] : NaN));
}

// Indices to draw, ascending: the first, the last, and of each stretch the lowest, the highest and one gap.
export function thinned(y, limit) {
  if (y.length <= limit) return Array.from(y, (_, i) => i);
  const stretches = Math.floor((limit - 2) / 3), kept = new Set([0, y.length - 1]);
  for (let s = 0; s < stretches; ++s) {
    const end = Math.floor((y.length * (s + 1)) / stretches);
    let lowest = -1, highest = -1, gap = -1;
    for (let i = Math.floor((y.length * s) / stretches); i < end; ++i) {
      if (!Number.isFinite(y[i])) {
        if (gap < 0) gap = i;
        continue;
      }
      if (lowest < 0 || y[i] < y[lowest]) lowest = i;
      if (highest < 0 || y[i] > y[highest]) highest = i;
    }
    for (const i of [lowest, highest, gap]) if (i >= 0) kept.add(i);
  }
  return [...kept].sort((a, b) => a - b);
}

// Round values that cover [low, high]: steps of 1, 2 or 5 times a power of ten, about `count` of them.
export function niceTicks(low, high, count) {
  if (!(high - low > 1e-9 * Math.max(Math.abs(low), Math.abs(high)))) {
    [low, high] = [Math.min(0, 2 * low), Math.max(0, 2 * high)];
    if (low === high) high = 1;
  }
  const raw = (high - low) / Math.max(count, 1), exponent = Math.floor(Math.log10(raw));
  const multiple = [1, 2, 5, 10].find((m) => m * Math.pow(10, exponent) >= raw * (1 - 1e-9)) ?? 10;
  // Divided where it can be: 3 / 10 is the nearest double to 0.3, 3 * 0.1 is not.
  const value = (k) => (exponent < 0 ? (k * multiple) / Math.pow(10, -exponent) : k * multiple * Math.pow(10, exponent));
  const out = [], step = value(1), last = Math.ceil(high / step - 1e-9);
  for (let k = Math.floor(low / step + 1e-9); k <= last; ++k) out.push(k === 0 ? 0 : value(k));
  return out;
}

// Decades; the twos and fives between them when there are few.
export function logTicks(low, high) {
  const first = Math.floor(Math.log10(low)), last = Math.max(first + 1, Math.ceil(Math.log10(high)));
  const stride = Math.floor((last - first + 5) / 6), out = [];
  for (let e = first; e <= last; e += stride) {
    for (const m of [1, 2, 5]) if (m === 1 || (last - first <= 2 && e < last)) out.push(m * Math.pow(10, e));
  }
  if ((last - first) % stride !== 0) out.push(Math.pow(10, last));
  return out;
}

// The index of the value of ascending x that is nearest to `at`.
export function nearest(x, at) {
  let low = 0, high = x.length - 1;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (x[mid] < at) low = mid + 1;
    else high = mid;
  }
  return low > 0 && at - x[low - 1] < x[low] - at ? low - 1 : low;
}
