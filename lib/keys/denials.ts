import type { AdmissionPlan } from '../limits/limit.ts';
import type { Amounts } from '../stores/store.ts';
import type { CallDemand, LimitRefusal } from './admissions.ts';

/** How long a refusal is repeated that the end of a call elsewhere may overtake at any moment. */
const fleetingMs = 100;

interface Denial {
  readonly refusal: LimitRefusal;
  readonly amounts: Amounts;
  readonly deniedAtMs: number;
  readonly retryAtMs: number;
  readonly untilMs: number;
  /** The calls that had ended here by then; `null`: the end of a call doesn't matter. */
  readonly endings: number | null;
}

/** How a refusal came about. */
export interface Denied {
  /** Before the store was asked, so that nobody is refused for longer than the store would. */
  readonly askedAtMs: number;
  /** Where the store answers at once, asking it again is as cheap, and always right. */
  readonly hadToWait: boolean;
}

/**
 * Refusals that would only be given again, so that a caller who doesn't wait costs the store nothing. They hang on their
 * plan: a change of a record makes another plan, and so forgets them at once.
 */
export interface Denials {
  find(plan: AdmissionPlan, demand: CallDemand, nowMs: number): LimitRefusal | undefined;
  keep(plan: AdmissionPlan, demand: CallDemand, refusal: LimitRefusal, denied: Denied): void;
  /** A call has ended in this process: there may be room for another. */
  callEnded(): void;
}

/** @param longestMs how long a refusal by a request window is repeated at most; `0`: none is */
export function createDenials(longestMs: number): Denials {
  const denials = new WeakMap<AdmissionPlan, Denial>();
  let endings = 0;

  return {
    find(plan, { amounts }, nowMs) {
      const denial = denials.get(plan);
      if (denial === undefined || nowMs >= denial.untilMs || nowMs < denial.deniedAtMs) return undefined;
      if (denial.endings !== null && denial.endings !== endings) return undefined;
      if (!isRefusedAlike(denial, amounts)) return undefined;
      return { ...denial.refusal, retryAfterMs: denial.retryAtMs - nowMs };
    },
    keep(plan, { amounts, clamp }, refusal, { askedAtMs, hadToWait }) {
      const { reason, retryAfterMs } = refusal;
      if (retryAfterMs === null || longestMs === 0) return;
      // Requests stay counted until their window has passed; tokens and slots come back when a call ends.
      const isLasting = reason === 'requests';
      const isFleeting = hadToWait && (reason === 'concurrency' || (reason === 'tokens' && clamp === undefined));
      if (!isLasting && !isFleeting) return;
      const forMs = Math.min(retryAfterMs, isLasting ? longestMs : Math.min(longestMs, fleetingMs));
      denials.set(plan, {
        refusal,
        amounts,
        deniedAtMs: askedAtMs,
        retryAtMs: askedAtMs + retryAfterMs,
        untilMs: askedAtMs + forMs,
        endings: isLasting ? null : endings,
      });
    },
    callEnded() {
      endings += 1;
    },
  };
}

/** Whether the same limit would refuse these amounts for just as long: another one may refuse more of them for longer. */
function isRefusedAlike({ refusal, amounts: denied }: Denial, { tokens, costNanoUsd }: Amounts): boolean {
  if (costNanoUsd > denied.costNanoUsd) return false;
  return refusal.reason === 'tokens' ? tokens === denied.tokens : tokens <= denied.tokens;
}
