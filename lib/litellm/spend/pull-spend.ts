import { InvalidRequestError, KeyNotFoundError } from '../../errors.ts';
import type { ExternalUsage, VirtualKeys } from '../../keys/virtual-keys.ts';
import { refuseUnknownOptions } from '../../options.ts';
import type { Store } from '../../stores/store.ts';
import type { LiteLLMClient } from '../client/client.ts';
import type { LiteLLMSpend } from '../client/replies.ts';
import { isNewTwin, type TwinRows } from '../mirror/twin-rows.ts';
import { mapEach } from '../reconcile/each.ts';
import { checkOnProgress, createProgress, type OnProgress } from '../reconcile/progress.ts';
import { walkOurs, walkTheirs } from '../reconcile/walk.ts';
import type { RecordOpening } from './record-opening.ts';
import { longestCallMs, type Spender, spendersOf } from './spenders.ts';
import { usageOf } from './usage-of.ts';

export interface PullSpendOptions {
  /**
   * How long LiteLLM may take to log a call that has ended. Calls that ended later than that before now are left to the
   * next pull. @defaultValue 120,000
   */
  readonly settleMs?: number | undefined;
  readonly onProgress?: OnProgress | undefined;
}

export interface PullSpendReport {
  /** How many keys of ours were looked at. */
  readonly checked: number;
  /** Calls that are in the usage record by this pull. */
  readonly recorded: number;
  /** What they cost, in USD. */
  readonly costUsd: number;
}

export type PullSpend = (options?: PullSpendOptions) => Promise<PullSpendReport>;

/** LiteLLM's clock may be ahead of ours. */
const aheadMs = 3_600_000;

/** What pulling uses of a mirror. */
export interface PullContext {
  readonly keys: Pick<VirtualKeys, 'recordUsage'>;
  readonly client: LiteLLMClient;
  readonly store: Pick<Store, 'listKeys'>;
  readonly rows: TwinRows;
  readonly now: () => number;
  readonly recordOpening: RecordOpening;
}

/**
 * Brings the calls that were made at LiteLLM with the secrets of our keys into the usage record, each once: by LiteLLM's
 * own id, and by when it ended, which is after the pull before this one and before this one.
 *
 * LiteLLM logs each call under the hash of the secret that paid. A call that went through us is paid with a credential of
 * the upstream's, since `requireApiKey` takes the client's off the request: it is in the log of another key, and is never
 * looked at here. Whoever forwards the client's own secret to LiteLLM (`keepCredentials`) must not pull, for then each
 * call is in both records. Nothing that is sent along could tell these calls apart: 1.82.6 logs no `x-litellm-call-id`,
 * and what all releases log (`x-litellm-spend-logs-metadata`, tags, the user) direct calls can carry as well.
 *
 * A list of all keys, and a page of the log for each hundred calls of those that have spent something since, or whose
 * secret was closed within an hour. Calls that cost nothing are found with the next one that does. A pull that breaks off
 * is to be repeated within a day, for which ids are remembered. What is spent with a key that is deleted before it is
 * pulled stays with LiteLLM alone.
 */
export function createPullSpend(context: PullContext): PullSpend {
  return async (options = {}) => {
    const { settleMs, onProgress } = checkOptions(options);
    const progress = createProgress(onProgress);
    const startedMs = context.now();
    const untilMs = startedMs - settleMs;
    const spent = await listSpent(context, (count, total) => {
      progress.expect('theirs', total);
      progress.advance('theirs', count);
    });
    progress.finish('theirs');
    let checked = 0;
    const sums: Sum[] = [];
    for await (const { items, total } of walkOurs(context.store, context.rows)) {
      progress.expect('ours', total);
      const spenders = items.flatMap((ours) => spendersOf(ours, spent, startedMs));
      sums.push(...(await mapEach(spenders, (spender) => pull(context, spender, untilMs).catch(nothingIfGone))));
      checked += items.length;
      progress.advance('ours', items.length);
    }
    progress.finish('ours');
    const { recorded, costUsd } = sums.reduce(add, nothing);
    return { checked, recorded, costUsd };
  };
}

async function listSpent({ client }: PullContext, onPage: (count: number, total: number) => void) {
  const spent = new Map<string, number>();
  for await (const { items, total } of walkTheirs(client.keys)) {
    for (const { token, spend } of items) spent.set(token, spend);
    onPage(items.length, total);
  }
  return spent;
}

async function pull(context: PullContext, spender: Spender, untilMs: number): Promise<Sum> {
  const { keyId, token, fromMs } = spender;
  await context.recordOpening(keyId);
  if (untilMs <= fromMs) return nothing;
  let sum = nothing;
  for await (const call of walkLog(context, token, fromMs)) {
    const endedMs = Date.parse(call.endTime);
    if (endedMs < fromMs || endedMs >= untilMs || call.status === 'failure') continue;
    const { state, costUsd } = await record(context, usageOf(call, keyId, context.now()));
    if (state === 'recorded') sum = add(sum, { recorded: 1, costUsd });
  }
  await context.rows.change(keyId, (twin) => (isNewTwin(twin) ? twin : spender.counted(twin, untilMs)));
  return sum;
}

/** What LiteLLM calls a model may be no name here: the call has cost what it has all the same. */
async function record({ keys }: PullContext, usage: ExternalUsage): ReturnType<VirtualKeys['recordUsage']> {
  try {
    return await keys.recordUsage(usage);
  } catch (error) {
    const isOfModel = error instanceof InvalidRequestError && error.details.every(({ field }) => field === 'model');
    if (!isOfModel) throw error;
    return keys.recordUsage({ ...usage, model: null });
  }
}

/** The key was deleted meanwhile: the pull of the others goes on. */
function nothingIfGone(error: unknown): Sum {
  if (error instanceof KeyNotFoundError) return nothing;
  throw error;
}

/** Pages are counted from the newest call on: one that comes meanwhile makes others come twice, and none is missed. */
async function* walkLog(
  { client, now }: PullContext,
  token: string,
  fromMs: number,
): AsyncGenerator<LiteLLMSpend, void> {
  const window = { token, fromMs: fromMs - longestCallMs, untilMs: now() + aheadMs };
  for (let page = 1; ; page += 1) {
    const { data, total_pages } = await client.spendLogs({ ...window, page });
    yield* data;
    if (page >= total_pages || data.length === 0) return;
  }
}

type Sum = Pick<PullSpendReport, 'recorded' | 'costUsd'>;

const nothing: Sum = { recorded: 0, costUsd: 0 };

function add(a: Sum, b: Sum): Sum {
  return { recorded: a.recorded + b.recorded, costUsd: a.costUsd + b.costUsd };
}

function checkOptions(options: PullSpendOptions) {
  refuseUnknownOptions('pullSpend', options, ['settleMs', 'onProgress']);
  const { settleMs = 120_000, onProgress } = options;
  if (!Number.isSafeInteger(settleMs) || settleMs < 0) {
    throw new TypeError('pullSpend: settleMs must be a whole number of milliseconds, from 0');
  }
  checkOnProgress('pullSpend', onProgress);
  return { settleMs, onProgress };
}
