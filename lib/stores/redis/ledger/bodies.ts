import type { Take } from '../../../limits/limit.ts';
import type { AdmitRequest, Amounts, Hold } from '../../store.ts';
import { unquoted } from '../records/names.ts';
import { type Counter, readBudgetField, readScope } from './names.ts';

/** What is kept of a call beside its numbers: enough to give it back, and to tell of it, when nobody ends it. */
export interface CallBody {
  readonly subject: Hold['subject'];
  /** Scripts read them. */
  readonly takes: readonly Counter[];
  readonly trace: string | null;
  readonly leaseMs: number;
  readonly onAbandoned: AdmitRequest['onAbandoned'];
}

/** @param takes JSON, which is the same for all calls under a plan */
export function writeBody(takes: string, { subject, trace, leaseMs, onAbandoned }: Omit<CallBody, 'takes'>): string {
  // Texts of callers are a text inside: scripts decode what they need, and not every text that JSON can carry.
  const of = JSON.stringify({ subject, trace, leaseMs, onAbandoned });
  return `{"takes":${takes},"of":${JSON.stringify(of)}}`;
}

export function readBody(body: string): CallBody {
  const { takes, of }: { takes: readonly Counter[]; of: string } = JSON.parse(body);
  return { ...JSON.parse(of), takes };
}

/** The hold of a call as it was admitted. */
export function holdOf(
  ids: { readonly holdId: string; readonly callId: string; readonly home: number },
  taken: { readonly atMs: number; readonly amounts: Amounts },
  { subject, takes, trace, leaseMs }: CallBody,
): Hold {
  const { holdId, callId, home } = ids;
  return { holdId, callId, home: `${home}`, subject, takes: takes.map(takeOf), ...taken, leaseMs, trace };
}

function takeOf({ scope, kind, id, size }: Counter): Take {
  const budget = kind === 'budget' ? readBudgetField(id) : undefined;
  return {
    scopeId: readScope(scope),
    id: budget?.budgetId ?? unquoted(id),
    measure: kind,
    windowMs: size,
    periodStartMs: budget?.periodStartMs ?? 0,
  };
}
