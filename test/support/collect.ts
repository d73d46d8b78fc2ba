/** All that a stream gives, once it has ended. */
export async function collect<T>(stream: AsyncIterable<T> | Iterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of stream) all.push(one);
  return all;
}
