import { LiteLLMError } from '../../errors.ts';
import { isEnterpriseOnly } from '../client/error-body.ts';
import type { LiteLLMKeys } from '../client/keys.ts';
import type { LiteLLMKey } from '../client/replies.ts';
import { type Difference, differences } from '../twin/differences.ts';
import { twinSettings } from '../twin/twin-settings.ts';
import { markName, type WantedTwin } from '../twin/wanted-twin.ts';
import { underFreeAlias } from './fresh-alias.ts';

/** A twin after it was made what it should be. */
export interface WrittenTwin {
  readonly alias: string;
  readonly warnings: readonly string[];
  /** USD that LiteLLM has counted. */
  readonly spend: number;
}

export interface TwinWriterOptions {
  readonly deploymentId: string;
  readonly now: () => number;
  /** LiteLLM answers calls for a team that it does not know with 404. */
  readonly ensureTeam: (teamId: string) => Promise<void>;
  /** LiteLLM has said that something is for its Enterprise edition alone. */
  readonly onEnterpriseOnly: () => void;
}

/** Makes twins what they should be. Nothing here knows when, or of which key. */
export interface TwinWriter {
  /** Makes the twin of a secret, or mends the one that it has. */
  generate(keys: LiteLLMKeys, secret: string, wanted: WantedTwin, alias: string, spend?: number): Promise<WrittenTwin>;
  /** `undefined`: there is no twin. */
  update(keys: LiteLLMKeys, token: string, wanted: WantedTwin, alias: string): Promise<WrittenTwin | undefined>;
  /** Gives a twin another alias and nothing else. Answers what it has spent; `undefined`: there is no twin. */
  rename(keys: LiteLLMKeys, token: string, from: string, to: string): Promise<number | undefined>;
  /** LiteLLM counts its spend from zero again. */
  resetSpend(keys: LiteLLMKeys, token: string): Promise<void>;
  /** Blocks a twin, if there is one, and leaves the rest of it as it is. */
  block(keys: LiteLLMKeys, token: string): Promise<void>;
  /** Removes a twin, unless it is not of this deployment any more. Answers what it has spent. */
  remove(keys: LiteLLMKeys, token: string): Promise<number | undefined>;
}

/** Releases before 1.95 keep a period that is to be cleared. */
const keptPeriod = 'LiteLLM keeps the former period of the budget until the key is rotated';
const enterpriseOnly = 'modelMaxBudget is held by LiteLLM Enterprise alone';

export function createTwinWriter({ deploymentId, now, ensureTeam, onEnterpriseOnly }: TwinWriterOptions): TwinWriter {
  /** Without what only the Enterprise edition holds where LiteLLM says so. */
  async function degrading<T>(wanted: WantedTwin, act: (wanted: WantedTwin) => Promise<T>): Promise<Degraded<T>> {
    try {
      return { done: await act(wanted), wanted };
    } catch (error) {
      const isLeftOut = error instanceof LiteLLMError && isEnterpriseOnly(error.message);
      if (!isLeftOut || Object.keys(wanted.model_max_budget).length === 0) throw error;
      onEnterpriseOnly();
      const reduced = { ...wanted, model_max_budget: {}, warnings: [...wanted.warnings, enterpriseOnly] };
      return { done: await act(reduced), wanted: reduced };
    }
  }

  async function send(
    keys: LiteLLMKeys,
    token: string,
    wanted: WantedTwin,
    alias: string,
    { theirs, nowMs }: { readonly theirs: LiteLLMKey; readonly nowMs: number },
  ): Promise<void> {
    if (wanted.team_id !== null && wanted.team_id !== theirs.team_id) await ensureTeam(wanted.team_id);
    await keys.update(token, twinSettings(wanted, alias, { nowMs, theirs }));
    if (theirs.blocked && !wanted.blocked) await keys.unblock(token);
  }

  /** Until LiteLLM answers that it holds what it was told. */
  async function mend(
    keys: LiteLLMKeys,
    token: string,
    wanted: WantedTwin,
    alias: string,
    theirs: LiteLLMKey,
    aheadMs = 0,
  ): Promise<WrittenTwin> {
    refuseForeign(theirs);
    const { spend } = theirs;
    if (differences(wanted, alias, theirs).length === 0) return { alias, warnings: wanted.warnings, spend };
    const sent = await underFreeAlias(alias, (free) =>
      degrading(wanted, (reduced) => send(keys, token, reduced, free, { theirs, nowMs: now() + aheadMs })),
    );
    const reduced = sent.done.wanted;
    const after = await keys.find(token);
    if (after === undefined) throw new LiteLLMError('litellm_unexpected', 'The twin was removed while it was mended');
    const lateMs = endsLateMs(reduced, after);
    // LiteLLM counts from its own time, which is ahead of ours.
    if (lateMs > 0 && aheadMs === 0) return mend(keys, token, reduced, sent.alias, after, lateMs);
    const left = differences(reduced, sent.alias, after);
    return { alias: sent.alias, warnings: [...reduced.warnings, ...toleratedOf(left)], spend };
  }

  function refuseForeign({ metadata }: LiteLLMKey): void {
    const mark = metadata[markName];
    const owner =
      typeof mark === 'object' && mark !== null && 'deployment_id' in mark ? mark.deployment_id : deploymentId;
    if (owner === deploymentId) return;
    throw new LiteLLMError('litellm_refused', `The twin belongs to another deployment: ${JSON.stringify(owner)}`);
  }

  return {
    async generate(keys, secret, wanted, alias, spend) {
      if (wanted.team_id !== null) await ensureTeam(wanted.team_id);
      const made = await underFreeAlias(alias, (free) =>
        degrading(wanted, (reduced) => {
          const settings = twinSettings(reduced, free, { nowMs: now() });
          return keys.generate({ ...settings, key: secret, ...(spend !== undefined && { spend }) });
        }),
      );
      const theirs = made.done.done;
      // A secret that LiteLLM knew keeps its settings, though the answer shows the new ones.
      return mend(keys, theirs.token ?? '', made.done.wanted, made.alias, theirs);
    },

    async update(keys, token, wanted, alias) {
      const theirs = await keys.find(token);
      return theirs === undefined ? undefined : mend(keys, token, wanted, alias, theirs);
    },

    async rename(keys, token, from, to) {
      const theirs = await keys.find(token);
      if (theirs?.key_alias === from) {
        refuseForeign(theirs);
        await keys.update(token, { key_alias: to });
      }
      return theirs?.spend;
    },

    resetSpend: (keys, token) => keys.update(token, { spend: 0 }),

    async block(keys, token) {
      const theirs = await keys.find(token);
      if (theirs === undefined || theirs.blocked) return;
      refuseForeign(theirs);
      await keys.block(token);
    },

    async remove(keys, token) {
      const theirs = await keys.find(token);
      if (theirs === undefined) return undefined;
      refuseForeign(theirs);
      await keys.delete([token]);
      return theirs.spend;
    },
  };
}

/** How much later than its key a twin ends. */
function endsLateMs({ expiresAtMs }: WantedTwin, { expires }: LiteLLMKey): number {
  return expiresAtMs === null || expires === null ? 0 : Math.max(0, Date.parse(expires) - expiresAtMs);
}

interface Degraded<T> {
  readonly done: T;
  readonly wanted: WantedTwin;
}

/** What may stay different, in words. @throws LiteLLMError for what may not */
function toleratedOf(left: readonly Difference[]): readonly string[] {
  const fields = left.map(({ field }) => field);
  if (fields.some((field) => field !== 'budgetDuration')) {
    throw new LiteLLMError('litellm_unexpected', `LiteLLM does not take ${fields.join(', ')}`);
  }
  return fields.length === 0 ? [] : [keptPeriod];
}
