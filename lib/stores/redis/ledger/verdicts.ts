import type { AdmitRequest, Admitted, ExtendRequest } from '../../store.ts';
import { type CallBody, type CallNumbers, holdOf } from './bodies.ts';

/**
 * @param remaining of each limit of the plan
 * @param kept what was kept of the call when it was admitted before
 */
export function admitted(
  request: Pick<AdmitRequest | ExtendRequest, 'plan' | 'subject' | 'trace'>,
  ids: { readonly holdId: string; readonly callId: string; readonly home: number; readonly leaseMs: number },
  [atMs, tokens, costNanoUsd, output]: CallNumbers,
  remaining: readonly number[],
  kept?: CallBody,
): Admitted {
  const { subject, trace, plan } = request;
  const body = kept ?? { subject, takes: plan.takes, trace, leaseMs: ids.leaseMs };
  const hold = holdOf(ids, { atMs, amounts: { tokens, costNanoUsd } }, body);
  return { outcome: 'admitted', hold, outputTokens: output < 0 ? null : output, remaining };
}

export function finite(left: number): number {
  return left < 0 ? Infinity : left;
}
