import type { Times } from './race.ts';

/** One measured figure. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: 'ns' | 'us' | '/s' | 'bytes' | 'calls';
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

/** How fast one is beside another one of the same times. */
export function speed(times: Times, of: string, to: string, atLeast?: number): Ratio {
  const ratio = timeOf(times, to) / timeOf(times, of);
  return { of: `speed of ${of}`, to, ratio, ...(atLeast !== undefined && { goal: { atLeast } }) };
}

/** How long one takes beside another one of the same times. */
export function duration(times: Times, of: string, to: string, atMost?: number): Ratio {
  const ratio = timeOf(times, of) / timeOf(times, to);
  return { of: `time of ${of}`, to, ratio, ...(atMost !== undefined && { goal: { atMost } }) };
}

/** In nanoseconds with how many that makes in a second, or in microseconds alone where that says nothing. */
export function figuresOf(times: Times, unit: 'ns' | 'us' = 'ns'): Figure[] {
  return [...times].map(([name, value]) => ({ name, value: unit === 'ns' ? value : value / 1000, unit }));
}

function timeOf(times: Times, name: string): number {
  const time = times.get(name);
  if (time === undefined) throw new Error(`Nobody measured ${name}`);
  return time;
}

export function isMet({ ratio, goal }: Ratio): boolean {
  if (goal === undefined) return true;
  return 'atLeast' in goal ? ratio >= goal.atLeast : ratio <= goal.atMost;
}

/** A report as a reader of the terminal wants it: a table of figures, and one of ratios beside their goals. */
export function printed(title: string, { figures, ratios }: Report): string {
  const width = Math.max(...figures.map(({ name }) => name.length));
  const lines = figures.map((figure) => `  ${figure.name.padEnd(width)}  ${amount(figure)}`);
  const compared = ratios.map((ratio) => {
    return `  ${ratio.ratio.toFixed(2).padStart(7)}  ${verdict(ratio).padEnd(16)}  ${ratio.of} / ${ratio.to}`;
  });
  const head = compared.length === 0 ? [] : [`  ${'ratio'.padStart(7)}  ${'goal'.padEnd(16)}  of what to what`];
  return [title, ...lines, ...head, ...compared, ''].join('\n');
}

function verdict(ratio: Ratio): string {
  if (ratio.goal === undefined) return '';
  const [sign, wanted] = 'atLeast' in ratio.goal ? ['>=', ratio.goal.atLeast] : ['<=', ratio.goal.atMost];
  return `${sign} ${wanted}${isMet(ratio) ? '' : ', MISSED'}`;
}

function amount({ value, unit }: Figure): string {
  const digits = value < 10 ? 2 : value < 100 ? 1 : 0;
  const text = value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const rate = unit === 'ns' ? `  ${Math.round(1e9 / value).toLocaleString('en')}/s` : '';
  return `${text.padStart(12)} ${unit}${rate}`;
}
