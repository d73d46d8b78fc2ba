import type { UsageReader } from './format.ts';
import { type JsonObject, objectAt, objectsIn, toldCount } from './json.ts';
import type { Reading } from './reading.ts';

const counts = ['input_tokens', 'output_tokens', 'cache_creation_input_tokens', 'cache_read_input_tokens'] as const;

/**
 * Anthropic messages. `input_tokens` leaves cache tokens out, so they are added. The usage of a `message_delta` is
 * cumulative and may leave fields null: what it tells replaces what `message_start` told, null replaces nothing.
 */
export function anthropicMessages(reading: Reading): UsageReader {
  const latest = new Map<(typeof counts)[number], number>();
  let compactions: readonly JsonObject[] = [];

  function readUsage(usage: JsonObject | undefined): void {
    if (usage === undefined) return;
    for (const field of counts) {
      const count = toldCount(usage[field]);
      if (count !== undefined) latest.set(field, count);
    }
    if (Array.isArray(usage.iterations)) {
      compactions = objectsIn(usage.iterations).filter(({ type }) => type === 'compaction');
    }
    if (latest.size > 0) reading.told(total());
  }

  function total() {
    // The top-level counts leave out what it cost to compact the conversation.
    const sum = (field: (typeof counts)[number]) =>
      compactions.reduce((tokens, step) => tokens + (toldCount(step[field]) ?? 0), latest.get(field) ?? 0);
    const cacheReadTokens = sum('cache_read_input_tokens');
    const cacheWriteTokens = sum('cache_creation_input_tokens');
    return {
      inputTokens: sum('input_tokens') + cacheReadTokens + cacheWriteTokens,
      outputTokens: sum('output_tokens'),
      cacheReadTokens,
      cacheWriteTokens,
    };
  }

  return {
    readBody(body) {
      if (body.type === 'error') reading.error = true;
      reading.named(body.model);
      for (const block of objectsIn(body.content)) sawBlock(reading, block);
      readUsage(objectAt(body, 'usage'));
    },
    readEvent(event, name) {
      switch (event.type ?? name) {
        case 'message_start':
          reading.named(objectAt(event, 'message')?.model);
          return readUsage(objectAt(event, 'message', 'usage'));
        case 'content_block_start':
          return sawBlock(reading, objectAt(event, 'content_block'));
        case 'content_block_delta':
          return sawDelta(reading, objectAt(event, 'delta'));
        case 'message_delta':
          return readUsage(objectAt(event, 'usage'));
        case 'message_stop':
          reading.complete = true;
          return;
        case 'error':
          reading.error = true;
      }
    },
  };
}

function sawBlock(reading: Reading, block: JsonObject | undefined): void {
  if (block === undefined) return;
  reading.saw(block.text ?? block.thinking);
  if (block.type !== 'tool_use' && block.type !== 'server_tool_use') return;
  reading.saw(block.name);
  // A stream opens a tool's block with `{}` and sends the input as deltas.
  const input = objectAt(block, 'input');
  if (input !== undefined && Object.keys(input).length > 0) reading.saw(input);
}

function sawDelta(reading: Reading, delta: JsonObject | undefined): void {
  reading.saw(delta?.text ?? delta?.thinking ?? delta?.partial_json);
}
