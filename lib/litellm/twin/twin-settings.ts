import type { LiteLLMKeySettings } from '../client/keys.ts';
import type { LiteLLMKey } from '../client/replies.ts';
import { markName, type WantedTwin } from './wanted-twin.ts';

/**
 * What LiteLLM is told so that a twin becomes what it should be. Never `blocked: false`: what reopens a twin is a call of
 * its own. What operators wrote into the metadata of a twin stays.
 */
export function twinSettings(
  wanted: WantedTwin,
  alias: string,
  { nowMs, theirs }: { readonly nowMs: number /** Absent: there is no twin yet. */; readonly theirs?: LiteLLMKey },
): LiteLLMKeySettings {
  const {
    model_rpm_limit,
    model_tpm_limit,
    model_max_budget,
    mark,
    blocked,
    expiresAtMs,
    isOver: _isOver,
    warnings: _,
    ...same
  } = wanted;
  const { model_rpm_limit: _rpm, model_tpm_limit: _tpm, ...kept } = theirs?.metadata ?? {};
  const duration = twinDuration(expiresAtMs, nowMs);
  // Without a licence it is refused, even where it would say nothing.
  const saysModelBudgets = [model_max_budget, theirs?.model_max_budget ?? {}].some((budgets) => isAny(budgets));
  return {
    ...same,
    key_alias: alias,
    // Whatever is sent as metadata replaces all of it, and LiteLLM keeps these two inside.
    metadata: { ...kept, [markName]: mark, model_rpm_limit, model_tpm_limit },
    ...(saysModelBudgets && { model_max_budget }),
    ...(blocked && { blocked }),
    ...(duration !== null && { duration }),
    ...(expiresAtMs === null && theirs !== undefined && { duration: '-1' }),
  };
}

/** The rest of its life in whole seconds, never later than ours; `null`: without end, or over: then it is blocked. */
function twinDuration(expiresAtMs: number | null, nowMs: number): string | null {
  if (expiresAtMs === null) return null;
  const seconds = Math.floor((expiresAtMs - nowMs) / 1000);
  return seconds < 1 ? null : `${seconds}s`;
}

function isAny(object: object): boolean {
  return Object.keys(object).length > 0;
}
