// Percentiles, tables, and a random order.

/** The value below which the share `p` of the samples lies. */
export function percentile(samples, p) {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))];
}

export const summary = (samples) => ({
  n: samples.length,
  p50: percentile(samples, 0.5),
  p99: percentile(samples, 0.99),
  max: Math.max(...samples),
});

export const us = (n) => (n === undefined || Number.isNaN(n) ? '-' : Math.round(n).toLocaleString('en'));

/** A table with aligned columns: the first to the left, the others to the right. */
export function table(head, rows) {
  const all = [head, ...rows].map((r) => r.map(String));
  const widths = head.map((_, i) => Math.max(...all.map((r) => r[i].length)));
  const line = (r) =>
    r
      .map((c, i) => (i === 0 ? c.padEnd(widths[i]) : c.padStart(widths[i])))
      .join('  ')
      .trimEnd();
  return [line(all[0]), widths.map((w) => '-'.repeat(w)).join('  '), ...all.slice(1).map(line)].join('\n');
}

/** A copy in random order. */
export function shuffled(list) {
  const out = [...list];
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
}
