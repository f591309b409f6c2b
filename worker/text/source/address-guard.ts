import { lookup as dnsLookup, type LookupAddress } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { RejectedJob } from '@longhaul/core/contracts';
import ipaddr from 'ipaddr.js';

/**
 * Global unicast only: not loopback, private, link-local (where clouds keep their metadata), shared, unique local,
 * multicast, mapped or translated IPv4, or anything reserved.
 */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.parse(address);
  if (parsed.range() !== 'unicast') return false;
  // Of IPv6, only 2000::/3 has been given out.
  return parsed.kind() === 'ipv4' || (parsed.toByteArray()[0]! & 0xe0) === 0x20;
}

/** Checks an address given in place of a name; names are checked as they are resolved, by `guardedLookup`. */
export function checkHost(hostname: string, allowedHosts: readonly string[]): void {
  const bare = hostname.replace(/^\[|\]$/g, '');
  if (isIP(bare) !== 0 && !allowedHosts.includes(bare)) checkAddress(bare, bare);
}

/**
 * Name resolution for one connection: refuses a name that has any address of ours, and hands exactly the addresses it
 * has checked to the socket, so that a second answer of the name server changes nothing.
 */
export function guardedLookup(allowedHosts: readonly string[]): LookupFunction {
  return (hostname, options, callback) => {
    const { family, hints } = options;
    dnsLookup(hostname, { family: family ?? 0, hints: hints ?? 0, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, [], 0);
      try {
        if (!allowedHosts.includes(hostname)) for (const { address } of addresses) checkAddress(hostname, address);
      } catch (refused) {
        return callback(refused as NodeJS.ErrnoException, [], 0);
      }
      const [first] = addresses as [LookupAddress, ...LookupAddress[]];
      if (options.all) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
}

function checkAddress(hostname: string, address: string): void {
  if (isPublicAddress(address)) return;
  const range = ipaddr.isValid(address) ? ipaddr.parse(address).range() : 'unknown';
  const what = hostname === address ? address : `${hostname} (${address})`;
  throw new RejectedJob('source_forbidden', `${what} is not a public address (${range}): workers read only those`);
}
