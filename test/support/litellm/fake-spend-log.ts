import { randomUUID } from 'node:crypto';

/** USD of a token of input and of output, as the real proxy of these tests is configured. */
const prices: { readonly [model: string]: readonly [input: number, output: number] } = {
  'gpt-4o-mini': [0.000001, 0.000002],
  'gpt-4o': [0.00001, 0.00002],
  'claude-sonnet-4': [0.00003, 0.00015],
  pricey: [0.001, 0.002],
  free: [0, 0],
  slow: [0.000001, 0.000002],
};
const usage = { prompt_tokens: 10, completion_tokens: 20, total_tokens: 30 };

export interface FakeCall {
  readonly id: string;
  readonly usage: typeof usage;
  readonly spend: number;
}

/** What the fake keeps of the calls that were paid, and how it shows it. */
export interface FakeSpendLog {
  add(token: string, model: string): FakeCall;
  /** As `GET /spend/logs/v2` answers; `undefined` for a time in a form that it does not take. */
  page(query: { readonly [name: string]: unknown }): object | undefined;
}

export function createFakeSpendLog(): FakeSpendLog {
  const rows: { readonly startTime: string; readonly api_key: string }[] = [];

  return {
    add(token, model) {
      const id = `chatcmpl-${randomUUID()}`;
      const [input = 0, output = 0] = prices[model] ?? [];
      const spend = usage.prompt_tokens * input + usage.completion_tokens * output;
      const time = new Date().toISOString().replace('Z', '+00:00');
      const names = { model: `openai/${model}`, model_group: model, call_type: 'acompletion', status: 'success' };
      rows.unshift({
        ...names,
        ...usage,
        request_id: id,
        api_key: token,
        spend,
        startTime: time,
        endTime: time,
      } as never);
      return { id, usage, spend };
    },

    page({ api_key, start_date, end_date, page = '1', page_size = '50' }) {
      const [fromMs, untilMs] = [readTime(start_date), readTime(end_date)];
      if (Number.isNaN(fromMs) || Number.isNaN(untilMs)) return undefined;
      const found = rows.filter(({ api_key: token, startTime }) => {
        const atMs = Date.parse(startTime);
        return (api_key === undefined || token === api_key) && atMs >= fromMs && atMs <= untilMs;
      });
      const [number, size] = [Number(page), Number(page_size)];
      const data = found.slice((number - 1) * size, number * size);
      return { data, total: found.length, page: number, page_size: size, total_pages: Math.ceil(found.length / size) };
    },
  };
}

function readTime(text: unknown): number {
  const isTime = /^\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?$/.test(String(text));
  return isTime ? Date.parse(`${String(text).replace(' ', 'T')}Z`) : Number.NaN;
}
