import type { LiteLLMKeySettings } from '../client/keys.ts';
import { markName, type WantedTwin } from './wanted-twin.ts';

/**
 * What LiteLLM is told so that a twin becomes what it should be. Never `blocked: false`: what reopens a twin is a call of
 * its own. What operators wrote into the metadata of a twin stays.
 */
export function twinSettings(
  wanted: WantedTwin,
  alias: string,
  { nowMs, metadata = {}, isNew }: { nowMs: number; metadata?: LiteLLMKeySettings['metadata']; isNew: boolean },
): LiteLLMKeySettings {
  const {
    model_rpm_limit,
    model_tpm_limit,
    model_max_budget,
    mark,
    blocked,
    expiresAtMs,
    warnings: _,
    ...same
  } = wanted;
  const { model_rpm_limit: _rpm, model_tpm_limit: _tpm, ...kept } = metadata;
  const duration = twinDuration(expiresAtMs, nowMs);
  return {
    ...same,
    key_alias: alias,
    // Whatever is sent as metadata replaces all of it, and LiteLLM keeps these two inside.
    metadata: { ...kept, [markName]: mark, model_rpm_limit, model_tpm_limit },
    ...(Object.keys(model_max_budget).length > 0 && { model_max_budget }),
    ...(blocked && { blocked }),
    ...(duration !== null && { duration }),
    ...(expiresAtMs === null && !isNew && { duration: '-1' }),
  };
}

/** The rest of its life in whole seconds, never later than ours; `null`: without end, or over: then it is blocked. */
function twinDuration(expiresAtMs: number | null, nowMs: number): string | null {
  if (expiresAtMs === null) return null;
  const seconds = Math.floor((expiresAtMs - nowMs) / 1000);
  return seconds < 1 ? null : `${seconds}s`;
}
