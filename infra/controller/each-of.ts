/** Works on the items, `atOnce` side by side, and takes the next one only when there is room for it. The first error ends it. */
export async function eachOf<T>(
  items: AsyncIterable<T>,
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const source = items[Symbol.asyncIterator]();
  let over = false;
  const lane = async () => {
    try {
      while (!over) {
        const next = await source.next();
        if (next.done === true) over = true;
        else await work(next.value);
      }
    } finally {
      over = true;
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: atOnce }, lane));
  await source.return?.();
  const failed = lanes.find((end) => end.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
