import type { Consumption } from '../keys/settlements.ts';
import { chargedUsage } from '../usage/charge.ts';
import type { MeterResult } from '../usage/meter.ts';
import type { TokenUsage } from '../usage/usage.ts';

/** What a successful answer is charged, and why it is not what the provider reported. */
export function consumptionOf(result: MeterResult, estimate: TokenUsage): Consumption {
  const { usage, source } = chargedUsage(result, estimate);
  const base = { usage, model: result.model, costNanoUsd: null, source };
  if (source === 'reported') return base;
  return { ...base, problem: result.problem ?? (source === 'partial' ? 'broken_off' : 'unreported') };
}
