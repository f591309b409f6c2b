import type { BrowserContextOptions, Locator, Page } from 'playwright-core';
import type { ServedApi } from './api-cluster.ts';
import { type OpenedPage, openBrowser } from './browser.ts';

/** A browser on the run page, signed in with the key of the tenant `default`. */
export async function openRunPage(api: ServedApi, options: BrowserContextOptions = {}): Promise<OpenedPage> {
  const opened = await openBrowser({ viewport: { width: 1280, height: 900 }, ...options });
  await opened.page.goto(`${api.url}/`);
  await signIn(opened.page, api.key);
  return opened;
}

export async function signIn(page: Page, key: string): Promise<void> {
  await page.getByLabel('The key that your jobs belong to').fill(key);
  await page.getByRole('button', { name: 'Open' }).click();
  await page.getByRole('heading', { name: 'Jobs' }).waitFor();
}

export async function openJob(page: Page, api: ServedApi, jobId: string): Promise<void> {
  await page.goto(`${api.url}/ui/#/jobs/${jobId}`);
  await page.getByRole('heading', { level: 1, name: jobId }).waitFor();
}

/**
 * What `ask` gives once it `holds`, or what it gave last: to be asserted then. A page draws some time after what it was told,
 * and has the focus elsewhere until then.
 */
export async function settled<T>(ask: () => Promise<T>, holds: (found: T) => boolean): Promise<T> {
  for (const deadline = performance.now() + 20_000; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
    const found = await ask();
    if (holds(found) || performance.now() > deadline) return found;
  }
}

/** What the locator's element says, once it is that, or what it said last. */
export async function textOnceIs(locator: Locator, wanted: string | null): Promise<string | null> {
  return await settled(
    () => locator.textContent(),
    (text) => text === wanted,
  );
}

/** `focused`, once it matches, or what had the focus last. */
export async function focusedOnceIs(page: Page, wanted: RegExp | string): Promise<string> {
  return await settled(
    () => focused(page),
    (found) => (typeof wanted === 'string' ? found === wanted : wanted.test(found)),
  );
}

/** Pixels that the page is wider than its window. */
export async function overflow(page: Page): Promise<number> {
  return await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
}

/** Name and role of what has the focus, as the browser tells it to assistive technology. */
export async function focused(page: Page): Promise<string> {
  const session = await page.context().newCDPSession(page);
  try {
    const { nodes } = await session.send('Accessibility.getFullAXTree');
    const found = nodes.filter(({ properties = [] }) =>
      properties.some(({ name, value }) => name === 'focused' && value.value === true),
    );
    const node = found.at(-1);
    return node === undefined ? 'nothing' : `${node.role?.value} ${node.name?.value}`;
  } finally {
    await session.detach();
  }
}

/** What the browser tells assistive technology of the page: `role name` of everything that it does not leave out. */
export async function accessibleThings(page: Page): Promise<string[]> {
  const session = await page.context().newCDPSession(page);
  try {
    const { nodes } = await session.send('Accessibility.getFullAXTree');
    return nodes
      .filter(({ ignored }) => !ignored)
      .map(({ role, name }) => `${role?.value} ${name?.value ?? ''}`.trim());
  } finally {
    await session.detach();
  }
}
