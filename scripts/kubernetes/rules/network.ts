import { BlockList } from 'node:net';
import type { Finding, Rule } from '../finding.ts';
import { nameOf, specOf } from '../manifest.ts';
import { isObject, listOf, objectOf, objectsOf, type Tree } from '../tree.ts';
import { selects } from './selectors.ts';

/** Where machines tell their role: EC2, GCE, Azure, and ECS tasks. */
const metadataAddresses = ['169.254.169.254', '169.254.169.252', '169.254.170.2', '168.63.129.16'];

/** Each pod is closed in both directions by a policy that opens nothing, and no policy opens a machine's metadata. */
export const network: Rule = ({ manifests, workloads }) => {
  const found: Finding[] = [];
  const policies = manifests.filter(({ kind }) => kind === 'NetworkPolicy');
  for (const { name, namespace, labels } of workloads) {
    for (const direction of ['Ingress', 'Egress']) {
      const closed = policies.some((policy) => {
        const spec = specOf(policy);
        const rules = direction === 'Ingress' ? spec['ingress'] : spec['egress'];
        return (
          policy.metadata.namespace === namespace &&
          selects(spec['podSelector'], labels) &&
          listOf(spec['policyTypes']).includes(direction) &&
          listOf(rules).length === 0
        );
      });
      if (!closed) found.push({ rule: 'network', object: name, text: `no policy denies ${direction} by default` });
    }
  }
  for (const policy of policies) {
    for (const text of opened(specOf(policy))) found.push({ rule: 'network', object: nameOf(policy), text });
  }
  return found;
};

function* opened(spec: Record<string, Tree>): Generator<string> {
  for (const rule of objectsOf(spec['egress'])) {
    const peers = listOf(rule['to']);
    if (peers.length === 0) yield 'opens egress to everywhere';
    const ports = objectsOf(rule['ports']);
    if (ports.length === 0 || ports.some(isEveryPort)) yield 'opens egress to every port';
    // Some clouds answer names at the same address.
    if (ports.length > 0 && ports.every(({ port, endPort }) => port === 53 && (endPort ?? 53) === 53)) continue;
    for (const peer of peers) {
      const block = objectOf(peer)['ipBlock'];
      if (!isObject(block)) continue;
      for (const address of metadataAddresses.filter((one) => reaches(block, one))) {
        // A name server's cache on the node and the agent of pod identities are link-local too, and named alone.
        yield `opens ${address}, where a machine tells its metadata`;
      }
    }
  }
}

/** No port is every one, and so is a range of all. */
function isEveryPort({ port, endPort }: Record<string, Tree>): boolean {
  return port === undefined || (Number(port) <= 1 && Number(endPort) >= 65535);
}

function reaches({ cidr, except }: Record<string, Tree>, address: string): boolean {
  const within = (range: Tree): boolean => {
    const [base = '', bits = '32'] = String(range).split('/');
    if (base.includes(':')) return false;
    const list = new BlockList();
    list.addSubnet(base, Number(bits), 'ipv4');
    return list.check(address, 'ipv4');
  };
  return within(cidr ?? '') && !listOf(except).some(within);
}
