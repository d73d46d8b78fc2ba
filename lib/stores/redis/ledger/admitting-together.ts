import type { AdmissionPlan } from '../../../limits/limit.ts';
import type { AdmitRequest, AdmitVerdict } from '../../store.ts';
import { type LedgerContext, ledgerScript, numbersText } from './acts.ts';
import { type CallNumbers, writeBody } from './bodies.ts';
import type { CompiledPlan } from './plans.ts';
import { admitted, finite } from './verdicts.ts';

/** Nobody else is served while a script runs: this many calls take less than a millisecond. */
const maxCalls = 32;

const admitTogetherScript = ledgerScript<readonly CallNumbers[] | null>(
  'ledger-time',
  'ledger-windows',
  'admit-at-once',
  'admit-together',
);

interface Waiting {
  readonly request: AdmitRequest;
  readonly answer: (verdict: Promise<AdmitVerdict>) => void;
}

export interface TogetherOptions {
  readonly context: LedgerContext;
  readonly compilePlan: (plan: AdmissionPlan, home: number) => CompiledPlan;
  readonly admitAlone: (request: AdmitRequest) => Promise<AdmitVerdict>;
}

/**
 * Admits calls under one plan that come in one tick by one script, which reads and writes their counters once. If they
 * do not all fit as they are, each is decided alone.
 */
export function createAdmittingTogether({ context, compilePlan, admitAlone }: TogetherOptions) {
  const { names } = context;
  const gathered = new Map<AdmissionPlan, Waiting[]>();

  async function askTogether(plan: AdmissionPlan, requests: readonly AdmitRequest[]) {
    const homes = requests.map(names.homeOf);
    const home = homes[0] ?? 0;
    const { text, keys, takes } = compilePlan(plan, home).home;
    const isOne = homes.every((other) => other === home) && new Set(requests.map(({ holdId }) => holdId)).size;
    if (isOne !== requests.length) return null;
    const numbers = requests.flatMap(({ mintedAtMs, amounts, notAfterMs, leaseMs }) => {
      return [mintedAtMs, amounts.tokens, amounts.costNanoUsd, notAfterMs ?? -1, leaseMs];
    });
    const holds = requests.map(({ holdId }) => names.hold(home, holdId));
    const bodies = requests.map((request) => writeBody(takes, { ...request, takes: plan.takes }, { elsewhere: false }));
    const ids = requests.map(({ holdId }) => holdId);
    const all = [...holds, names.leases(home), ...keys];
    const texts = [numbersText(context.givenInstant(requests.length), numbers), text, ...bodies, ...ids];
    const reply = await context.run(admitTogetherScript, all, texts);
    return reply?.map((taken, at) => {
      const request = requests[at];
      const [, , , , ...left] = taken;
      return request && admitted(request, { ...request, callId: '', home }, taken, left.map(finite));
    });
  }

  function admitGroup(plan: AdmissionPlan, group: readonly Waiting[]): void {
    const asked = askTogether(
      plan,
      group.map(({ request }) => request),
    );
    for (const [at, { request, answer }] of group.entries()) {
      answer(asked.then((verdicts) => verdicts?.[at] ?? admitAlone(request)));
    }
  }

  function admitGathered(plan: AdmissionPlan): void {
    const waiting = gathered.get(plan) ?? [];
    gathered.delete(plan);
    for (let from = 0; from < waiting.length; from += maxCalls) {
      const group = waiting.slice(from, from + maxCalls);
      const [first] = group;
      if (first !== undefined && group.length === 1) first.answer(admitAlone(first.request));
      else admitGroup(plan, group);
    }
  }

  return function admit(request: AdmitRequest): Promise<AdmitVerdict> {
    const { plan, clamp } = request;
    const { home, others } = compilePlan(plan, names.homeOf(request));
    if (clamp !== undefined || !home.isPlain || others.length > 0) return admitAlone(request);
    return new Promise((answer) => {
      const waiting = gathered.get(plan);
      if (waiting !== undefined) {
        waiting.push({ request, answer });
        return;
      }
      gathered.set(plan, [{ request, answer }]);
      process.nextTick(admitGathered, plan);
    });
  };
}
