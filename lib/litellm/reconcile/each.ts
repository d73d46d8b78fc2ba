import { bulkhead } from 'cockatiel';

/** Requests to LiteLLM at one time. */
const atOnce = 8;

/** Does something with each of many things, a few at a time; answers in their order. */
export function mapEach<T, R>(items: readonly T[], act: (item: T) => Promise<R>): Promise<readonly R[]> {
  const few = bulkhead(atOnce, Number.POSITIVE_INFINITY);
  return Promise.all(items.map((item) => few.execute(() => act(item))));
}
