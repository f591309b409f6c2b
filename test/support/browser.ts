import { existsSync, mkdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join, relative } from 'node:path';
import { type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { repositoryRoot } from './text-documents.ts';

/** Chromium as the system has it; `LONGHAUL_TEST_CHROMIUM` names another one. */
const program =
  process.env['LONGHAUL_TEST_CHROMIUM'] ??
  (process.env['PATH'] ?? '')
    .split(delimiter)
    .flatMap((dir) => ['chromium', 'chromium-browser', 'google-chrome'].map((name) => join(dir, name)))
    .find((file) => existsSync(file)) ??
  null;

/** False, or why a test that needs a browser is skipped. */
export const noBrowser =
  program === null ? 'no chromium in PATH: apt-get install chromium, or set LONGHAUL_TEST_CHROMIUM' : false;

const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Generous for a machine that does other things, and short enough that a failing test ends. */
const waitMs = 20_000;

/** A page of a browser of its own, with a new profile; `complaints` gathers what the console and the page complain of. */
export interface OpenedPage {
  readonly context: BrowserContext;
  readonly page: Page;
  readonly complaints: string[];
  close(): Promise<void>;
}

export async function openBrowser(options: BrowserContextOptions = {}): Promise<OpenedPage> {
  if (program === null) throw new Error(String(noBrowser));
  const profile = await mkdtemp(join(tmpdir(), 'longhaul-chromium-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: program,
    headless: true,
    args: flags,
    ...options,
  });
  const page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(waitMs);
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  const close = async () => {
    await context.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  return { context, page, complaints, close };
}

/** Where screenshots go: git ignores it. */
export const screenshots = join(repositoryRoot, 'test/output/page');

/** Writes what the page looks like, and returns the file's path below the repository. */
export async function screenshot(page: Page, name: string): Promise<string> {
  mkdirSync(screenshots, { recursive: true });
  const path = join(screenshots, `${name}.png`);
  await page.screenshot({ path, animations: 'disabled' });
  return relative(repositoryRoot, path);
}
