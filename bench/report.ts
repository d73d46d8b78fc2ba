/** One measured figure. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: 'ns' | 'us' | '/s' | 'bytes';
}

/** How two figures of one run stand to each other, and how they should. */
export interface Ratio {
  readonly of: string;
  readonly to: string;
  readonly ratio: number;
  /** None: reported for comparison. */
  readonly goal?: { readonly atLeast: number } | { readonly atMost: number };
}

export interface Report {
  readonly figures: readonly Figure[];
  readonly ratios: readonly Ratio[];
}

/** A measurement that `npm run bench -- --only <name>` selects. */
export interface Bench {
  readonly name: string;
  readonly title: string;
  readonly run: () => Promise<Report>;
}

export function isMet({ ratio, goal }: Ratio): boolean {
  if (goal === undefined) return true;
  return 'atLeast' in goal ? ratio >= goal.atLeast : ratio <= goal.atMost;
}

/** A report as a reader of the terminal wants it. */
export function printed(title: string, { figures, ratios }: Report): string {
  const width = Math.max(...figures.map(({ name }) => name.length));
  const lines = figures.map((figure) => `  ${figure.name.padEnd(width)}  ${amount(figure)}`);
  const compared = ratios.map((ratio) => `  ${ratio.of} / ${ratio.to}: ${ratio.ratio.toFixed(2)}${verdict(ratio)}`);
  return [title, ...lines, ...compared, ''].join('\n');
}

function verdict(ratio: Ratio): string {
  if (ratio.goal === undefined) return '';
  const wanted = 'atLeast' in ratio.goal ? `at least ${ratio.goal.atLeast}` : `at most ${ratio.goal.atMost}`;
  return ` (goal: ${wanted}${isMet(ratio) ? '' : '; MISSED'})`;
}

function amount({ value, unit }: Figure): string {
  const digits = value < 10 ? 2 : value < 100 ? 1 : 0;
  const text = value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const rate = unit === 'ns' ? `  ${Math.round(1e9 / value).toLocaleString('en')}/s` : '';
  return `${text.padStart(12)} ${unit}${rate}`;
}
