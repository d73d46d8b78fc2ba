import type { AdmitRequest, Amounts, Hold } from '../../store.ts';
import { compileTakes, readTakes } from './takes.ts';

/** What is kept of a call beside its numbers: enough to give it back, and to tell of it, when nobody ends it. */
export interface CallBody {
  readonly subject: Hold['subject'];
  readonly takes: Hold['takes'];
  readonly trace: string | null;
  readonly leaseMs: number;
  readonly onAbandoned: AdmitRequest['onAbandoned'];
}

/**
 * @param takes JSON: what is taken in the shard of the hold, which is the same for all calls under a plan
 * @param elsewhere whether the call takes from other shards, too
 */
export function writeBody(
  takes: string,
  { subject, takes: all, trace, leaseMs, onAbandoned }: CallBody,
  { elsewhere }: { readonly elsewhere: boolean },
): string {
  // Scripts decode takes alone: not every text of callers that JSON can carry is one that they can read.
  const allTakes = elsewhere ? compileTakes(all).text : undefined;
  return `${takes}\n${JSON.stringify({ subject, trace, leaseMs, onAbandoned, allTakes })}`;
}

export function readBody(body: string): CallBody {
  const end = body.indexOf('\n');
  const { allTakes = body.slice(0, end), ...kept } = JSON.parse(body.slice(end + 1));
  return { ...kept, takes: readTakes(allTakes) };
}

/** The numbers of a call as scripts tell them. */
export type CallNumbers = readonly [
  atMs: number,
  tokens: number,
  costNanoUsd: number,
  outputTokens: number,
  ...remaining: number[],
];

/** The hold of a call as it was admitted. */
export function holdOf(
  ids: { readonly holdId: string; readonly callId: string; readonly home: number },
  taken: { readonly atMs: number; readonly amounts: Amounts },
  { subject, takes, trace, leaseMs }: Omit<CallBody, 'onAbandoned'>,
): Hold {
  const { holdId, callId, home } = ids;
  return { holdId, callId, home: `${home}`, subject, takes, ...taken, leaseMs, trace };
}
