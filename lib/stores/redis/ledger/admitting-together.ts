import type { AdmissionPlan } from '../../../limits/limit.ts';
import type { AdmitRequest, AdmitVerdict } from '../../store.ts';
import { type LedgerContext, ledgerScript, numbersText } from './acts.ts';
import { writeBody } from './bodies.ts';
import type { CompiledPlan } from './plans.ts';
import { admitted, finite } from './verdicts.ts';

/** Nobody else is served while a script runs: this many calls take less than a millisecond. */
const maxCalls = 32;

/** What calls under one plan took: when, and what was left of each limit after all of them (-1: it has none). */
type Taken = readonly [nowMs: number, ...left: number[]];

const admitTogetherScript = ledgerScript<readonly (Taken | null)[]>(
  'ledger-time',
  'ledger-windows',
  'admit-at-once',
  'admit-together',
);

interface Waiting {
  readonly request: AdmitRequest;
  readonly answer: (verdict: AdmitVerdict | Promise<AdmitVerdict>) => void;
  readonly fail: (error: unknown) => void;
}

export interface TogetherOptions {
  readonly context: LedgerContext;
  readonly compilePlan: (plan: AdmissionPlan, home: number) => CompiledPlan;
  readonly admitAlone: (request: AdmitRequest) => Promise<AdmitVerdict>;
}

/**
 * Admits calls that come in one tick, and whose holds are in one shard, by one script. The counters of those under one
 * plan are read and written once; if these do not all fit as they are, each of them is decided alone.
 */
export function createAdmittingTogether({ context, compilePlan, admitAlone }: TogetherOptions) {
  const { names } = context;
  const gathered = new Map<number, Waiting[]>();

  /** @param batch calls whose holds are in one shard, each with an id of its own */
  async function askTogether(home: number, batch: readonly Waiting[]): Promise<void> {
    const groups = byPlan(batch);
    const keys = [names.leases(home)];
    const numbers: number[] = [];
    const texts: string[] = [];
    for (const [plan, calls] of groups) {
      const compiled = compilePlan(plan, home).home;
      numbers.push(calls.length);
      texts.push(compiled.text, compiled.takes);
      for (const { request } of calls) {
        const { holdId, mintedAtMs, amounts, notAfterMs, leaseMs } = request;
        keys.push(names.hold(home, holdId));
        numbers.push(mintedAtMs, amounts.tokens, amounts.costNanoUsd, notAfterMs ?? -1, leaseMs);
        texts.push(writeBody('', { ...request, takes: plan.takes }, { elsewhere: false }), holdId);
      }
      keys.push(...compiled.keys);
    }
    const args = [numbersText(context.givenInstant(batch.length), numbers), ...texts];
    const reply = await context.run(admitTogetherScript, keys, args);
    let at = 0;
    for (const [plan, calls] of groups) {
      const taken = reply[at];
      at += 1;
      if (taken) answerAll(home, plan, calls, taken);
      else for (const { request, answer } of calls) answer(admitAlone(request));
    }
  }

  function admitBatch(home: number, batch: readonly Waiting[]): void {
    if (batch.length === 1 || new Set(batch.map(({ request }) => request.holdId)).size < batch.length) {
      for (const { request, answer } of batch) answer(admitAlone(request));
      return;
    }
    askTogether(home, batch).catch((error: unknown) => {
      for (const { fail } of batch) fail(error);
    });
  }

  function admitGathered(home: number): void {
    const waiting = gathered.get(home) ?? [];
    gathered.delete(home);
    for (let from = 0; from < waiting.length; from += maxCalls) admitBatch(home, waiting.slice(from, from + maxCalls));
  }

  return function admit(request: AdmitRequest): Promise<AdmitVerdict> {
    const home = names.homeOf(request);
    const { home: part, others } = compilePlan(request.plan, home);
    if (request.clamp !== undefined || !part.isPlain || others.length > 0) return admitAlone(request);
    return new Promise((answer, fail) => {
      const waiting = gathered.get(home);
      if (waiting !== undefined) {
        waiting.push({ request, answer, fail });
        return;
      }
      gathered.set(home, [{ request, answer, fail }]);
      process.nextTick(admitGathered, home);
    });
  };
}

function byPlan(batch: readonly Waiting[]): ReadonlyMap<AdmissionPlan, readonly Waiting[]> {
  const groups = new Map<AdmissionPlan, Waiting[]>();
  for (const waiting of batch) {
    const group = groups.get(waiting.request.plan);
    if (group === undefined) groups.set(waiting.request.plan, [waiting]);
    else group.push(waiting);
  }
  return groups;
}

/** What is left after one call is less what all later ones took. */
function answerAll(home: number, plan: AdmissionPlan, calls: readonly Waiting[], taken: Taken): void {
  const [nowMs, ...left] = taken;
  const later = { requests: 0, concurrency: 0, tokens: 0, budget: 0 };
  for (const { request, answer } of calls.toReversed()) {
    const { holdId, leaseMs, amounts } = request;
    const remaining = plan.limits.map(({ measure }, at) => finite(left[at] ?? -1) + later[measure]);
    const numbers = [nowMs, amounts.tokens, amounts.costNanoUsd, -1] as const;
    answer(admitted(request, { holdId, callId: '', home, leaseMs }, numbers, remaining));
    later.requests += 1;
    later.concurrency += 1;
    later.tokens += amounts.tokens;
    later.budget += amounts.costNanoUsd;
  }
}
