import type { ExternalUsage } from '../../keys/virtual-keys.ts';
import type { LiteLLMSpend } from '../client/replies.ts';

/** A call in LiteLLM's log as usage of a key. Its clock may be ahead of ours. */
export function usageOf(call: LiteLLMSpend, keyId: string, nowMs: number): ExternalUsage {
  return {
    id: `litellm:${call.request_id}`,
    keyId,
    model: call.model_group || call.model || null,
    inputTokens: call.prompt_tokens,
    outputTokens: call.completion_tokens,
    costUsd: Math.max(0, call.spend),
    at: Math.min(Date.parse(call.endTime), nowMs),
  };
}
