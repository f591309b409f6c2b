import { isIP } from 'node:net';
import { checkAddress } from './address-guard.ts';
import { RequestFailed } from './request-failed.ts';

export interface UrlRules {
  /** Hosts, as they stand in a URL, that may have any address and any port. */
  readonly allowHosts?: readonly string[];
  /** Ports below 1024 that may be asked; by default only that of https. Ports from 1024 on may always be asked. */
  readonly allowPorts?: readonly number[];
}

/**
 * An https URL as a request will use it: decimal, octal and hex hosts are addresses by now. An address is checked here,
 * a name when it is resolved. The messages hold no path and no password.
 * @throws RequestFailed `forbidden`
 */
export function parsePublicUrl(address: string, rules: UrlRules = {}): URL {
  const url = URL.parse(address);
  if (url === null) throw new RequestFailed('forbidden', 'not a URL');
  if (url.protocol !== 'https:') {
    throw new RequestFailed('forbidden', `${url.protocol}//${url.host}: only https is asked`);
  }
  if (url.username !== '' || url.password !== '') {
    throw new RequestFailed('forbidden', `a URL of ${url.host} with a user name or password in it`);
  }
  const { allowHosts = [], allowPorts = [443] } = rules;
  const bare = url.hostname.replace(/^\[|\]$/g, '');
  if (allowHosts.includes(bare)) return url;
  if (isIP(bare) !== 0) checkAddress(bare, bare);
  const port = url.port === '' ? 443 : Number(url.port);
  if (port < 1024 && !allowPorts.includes(port)) {
    throw new RequestFailed('forbidden', `port ${port} of ${bare}: below 1024, only ${allowPorts.join(', ')} is asked`);
  }
  return url;
}
