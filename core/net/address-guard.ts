import { lookup as dnsLookup, type LookupAddress, type LookupAllOptions } from 'node:dns';
import type { LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';
import { RequestFailed } from './request-failed.ts';

/** Public by number, and still answered by the host that the machine runs on: Azure's agent and metadata address. */
const hostServices: ReadonlySet<string> = new Set(['168.63.129.16']);

/**
 * Global unicast only: not loopback, private, link-local (where clouds keep their metadata), shared, unique local,
 * multicast, mapped or translated IPv4, or anything reserved.
 */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.parse(address);
  if (parsed.range() !== 'unicast' || hostServices.has(parsed.toString())) return false;
  // Of IPv6, only 2000::/3 has been given out.
  return parsed.kind() === 'ipv4' || (parsed.toByteArray()[0]! & 0xe0) === 0x20;
}

/** @throws RequestFailed `forbidden`, naming the host, the address and its range */
export function checkAddress(hostname: string, address: string): void {
  if (isPublicAddress(address)) return;
  const range = ipaddr.isValid(address) ? ipaddr.parse(address).range() : 'unknown';
  const kind = range === 'unicast' ? 'service of the host' : range;
  const what = hostname === address ? address : `${hostname} (${address})`;
  throw new RequestFailed('forbidden', `${what} is not a public address (${kind})`);
}

/** Answers with every address of a name, as `dns.lookup` with `all`. */
export type Resolve = (
  hostname: string,
  options: LookupAllOptions,
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/**
 * Name resolution for one connection: refuses a name that has any address which is not public, and hands exactly the
 * addresses it has checked to the socket, so that a second answer of the name server changes nothing.
 */
export function guardedLookup(allowHosts: readonly string[], resolve: Resolve = dnsLookup): LookupFunction {
  return (hostname, options, callback) => {
    const { family, hints } = options;
    resolve(hostname, { family: family ?? 0, hints: hints ?? 0, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, [], 0);
      const [first] = addresses;
      if (first === undefined) return callback(new RequestFailed('no_host', `${hostname} has no address`), [], 0);
      try {
        if (!allowHosts.includes(hostname)) for (const { address } of addresses) checkAddress(hostname, address);
      } catch (refused) {
        return callback(refused as NodeJS.ErrnoException, [], 0);
      }
      if (options.all) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
}
