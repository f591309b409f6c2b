import type { Base } from './bases.ts';

/** Lists of images for several machines come first: their digest holds for all of them. */
const manifestTypes = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');

const secondsToAnswer = 30;

/**
 * The digest that a registry has for a tag now, by its own word (`docker-content-digest`). Asks without credentials: bases are
 * public.
 *
 * @throws Error saying which registry, and what it answered
 */
export async function resolveDigest({ repository, tag }: Pick<Base, 'repository' | 'tag'>): Promise<string> {
  const slash = repository.indexOf('/');
  const [host, name] = [repository.slice(0, slash), repository.slice(slash + 1)];
  // Docker Hub answers at another name than images are called by; a registry on this machine has no certificate.
  const origin = `${/^(127\.0\.0\.1|localhost)(:|$)/.test(host) ? 'http' : 'https'}://${host === 'docker.io' ? 'registry-1.docker.io' : host}`;
  const url = `${origin}/v2/${name}/manifests/${tag}`;
  let response = await ask(url, 'HEAD', { accept: manifestTypes });
  if (response.status === 401) {
    const token = await bearerToken(response.headers.get('www-authenticate') ?? '', url);
    response = await ask(url, 'HEAD', { accept: manifestTypes, authorization: `Bearer ${token}` });
  }
  const digest = response.headers.get('docker-content-digest') ?? '';
  if (response.ok && /^sha256:[0-9a-f]{64}$/.test(digest)) return digest;
  throw new Error(
    `${url}: expected the digest of a manifest; found status ${response.status}, digest ${digest || 'none'}`,
  );
}

/** The anonymous token that a registry's challenge (`Bearer realm="…",service="…",scope="…"`) sends us for. */
async function bearerToken(challenge: string, url: string): Promise<string> {
  const fields = new Map([...challenge.matchAll(/([a-z]+)="([^"]*)"/g)].map(([, name, value]) => [name!, value!]));
  const realm = fields.get('realm');
  if (!/^Bearer /i.test(challenge) || realm === undefined) {
    throw new Error(`${url}: expected a challenge for a bearer token; found ${JSON.stringify(challenge)}`);
  }
  const asked = new URL(realm);
  for (const name of ['service', 'scope']) if (fields.has(name)) asked.searchParams.set(name, fields.get(name)!);
  const response = await ask(asked.href, 'GET', {});
  const body = (await response.json().catch(() => null)) as { token?: unknown; access_token?: unknown } | null;
  const token = body?.token ?? body?.access_token;
  if (response.ok && typeof token === 'string') return token;
  throw new Error(`${asked.origin}: expected a token for ${url}; found status ${response.status}`);
}

async function ask(url: string, method: string, headers: Record<string, string>): Promise<Response> {
  try {
    return await fetch(url, { method, headers, signal: AbortSignal.timeout(1000 * secondsToAnswer) });
  } catch (cause) {
    const reason = ((cause as Error).cause as Error | undefined)?.message ?? (cause as Error).message;
    throw new Error(`${new URL(url).host} does not answer: ${reason}`, { cause });
  }
}
