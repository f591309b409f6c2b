/** The values of several sources as they come, each with the index of its source. Ends with the last of them. */
export async function* merge<T>(sources: readonly AsyncIterable<T>[]): AsyncGenerator<readonly [number, T], void> {
  const iterators = sources.map((source) => source[Symbol.asyncIterator]());
  type Next = { readonly index: number; readonly result: IteratorResult<T> };
  const ask = (index: number): Promise<Next> => iterators[index]!.next().then((result) => ({ index, result }));
  const pending = new Map<number, Promise<Next>>();
  for (const index of iterators.keys()) pending.set(index, ask(index));
  try {
    while (pending.size > 0) {
      const { index, result } = await Promise.race(pending.values());
      if (result.done === true) {
        pending.delete(index);
        continue;
      }
      pending.set(index, ask(index));
      yield [index, result.value];
    }
  } finally {
    for (const one of pending.values()) one.catch(() => undefined);
    for (const iterator of iterators) void iterator.return?.()?.catch(() => undefined);
  }
}
