import { openStore, PreconditionFailed } from '@longhaul/core/ledger';

/** Adds 1 to `counter` in the store named by the first argument, as often as the second says; prints each value made. */
const [url, times] = process.argv.slice(2);
const store = await openStore(url!);
for (let done = 0; done < Number(times); ) {
  const found = (await store.get('counter', { maxBytes: 64 }))!;
  const next = Number(new TextDecoder().decode(found.body)) + 1;
  try {
    await store.putIfMatch('counter', new TextEncoder().encode(String(next)), found.etag);
    process.stdout.write(`${next}\n`);
    done += 1;
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
  }
}
