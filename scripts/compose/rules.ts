import { existsSync } from 'node:fs';
import path from 'node:path';
import { isSecret, secretValue } from '../checks/secrets.ts';
import { type Base, reference } from '../images/bases.ts';
import {
  type Compose,
  defaultOf,
  environmentOf,
  interpolate,
  isMap,
  mountsOf,
  needsOf,
  portsOf,
  type Service,
  strings,
} from './read.ts';
import { refused } from './settings.ts';

export interface Finding {
  readonly service: string;
  readonly rule: string;
  readonly message: string;
}

interface Context {
  readonly compose: Compose;
  readonly name: string;
  readonly bases: readonly Base[];
  /** What each of our images sets, by the image's name without `longhaul-`. */
  readonly images: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** What this way to start the stack wants to be told. */
  readonly variables: Readonly<Record<string, string>>;
}

/** What a service of the stack holds to. A rule yields what is wrong with one. */
type Rule = (service: Service, context: Context) => Iterable<string>;

const ours = /^longhaul-(control|worker|worker-cpu):/;
/** The services that may be reached from the machine, on its loopback address. */
const published = new Set(['api', 'grafana']);
/** The services that hold what others must not reach. */
const kept = new Set(['queue', 'store']);

/** What takes from the isolation of a container, and what brings a service something that no rule here would see. */
const notSet = [
  ...['privileged', 'cap_add', 'pid', 'ipc', 'uts', 'cgroup', 'userns_mode', 'devices', 'device_cgroup_rules'],
  ...['volumes_from', 'env_file', 'extends'],
];

const rules: Readonly<Record<string, Rule>> = {
  *image({ image }) {
    const named = typeof image === 'string' ? interpolate(image, {}) : '';
    const [, registry, tag] =
      /^(?:([a-z0-9.-]+\.[a-z]+)\/)?[a-z0-9._/-]+:([A-Za-z0-9._-]+)(?:@sha256:[0-9a-f]{64})?$/.exec(named) ?? [];
    if (tag === undefined || tag === 'latest')
      yield `an image names its version; found ${JSON.stringify(image ?? null)}`;
    else if (registry === undefined && !ours.test(named)) yield `an image names its registry; found ${named}`;
  },
  *base({ build }, { bases }) {
    const args = isMap(build) && isMap(build['args']) ? build['args'] : {};
    for (const [name, value] of Object.entries(args)) {
      const base = bases.find((one) => one.name === name);
      const wanted = base === undefined ? null : reference(base);
      const found = defaultOf(String(value));
      if (wanted !== found) yield `the default of ${name} is that of bases.env, ${wanted}; found ${found}`;
    }
  },
  *build(service, { compose, name }) {
    const { image, build, pull_policy: pull } = service;
    if (!ours.test(String(image))) return;
    if (pull !== 'never') yield 'pull_policy is never: what is built here is not looked for in a registry';
    const builders = Object.entries(compose.services).filter(
      ([, other]) => other['image'] === image && other['build'] !== undefined,
    );
    const others = builders.map(([other]) => other).filter((other) => other !== name);
    if (build !== undefined) {
      if (others.length > 0) yield `${image} is built by one service; found ${others.join(', ')} beside this one`;
    } else if (!others.some((other) => needsOf(service).has(other))) {
      yield `it depends on the service that builds ${image}; found ${others.join(', ') || 'none that does'}`;
    }
  },
  *hardened(service) {
    if (service['read_only'] !== true) yield 'read_only is true';
    if (!strings(service['cap_drop']).includes('ALL')) yield 'cap_drop is [ALL]';
    if (!strings(service['security_opt']).includes('no-new-privileges:true'))
      yield 'security_opt has no-new-privileges:true';
    for (const option of strings(service['security_opt'])) {
      if (option !== 'no-new-privileges:true') yield `security_opt has nothing else; found ${option}`;
    }
    for (const key of notSet) {
      if (service[key] !== undefined) yield `${key} is not set`;
    }
  },
  *user(service) {
    const { user, image, network_mode: network } = service;
    // Our images say themselves who they are.
    if (user === undefined) {
      if (!ours.test(String(image))) yield 'user is set';
    } else if (!/^[1-9]\d*:\d+$/.test(String(user)) && network !== 'none') {
      yield `user is a number that is not 0, unless there is no network; found ${user}`;
    }
  },
  *limits(service) {
    const deploy = isMap(service['deploy']) ? service['deploy'] : {};
    const resources = isMap(deploy['resources']) ? deploy['resources'] : {};
    const limits = isMap(resources['limits']) ? resources['limits'] : {};
    if (!/^\d+[MG]$/.test(String(limits['memory']))) yield 'deploy.resources.limits.memory is set';
    if (typeof service['pids_limit'] !== 'number') yield 'pids_limit is set';
  },
  *ports(service, { name }) {
    for (const { host, text } of portsOf(service)) {
      if (!published.has(name)) yield `no port is published; found ${text}`;
      else if (host !== '127.0.0.1') yield `ports are published on 127.0.0.1; found ${text}`;
    }
  },
  *networks(service, { compose, name }) {
    const names = strings(service['networks']);
    if (service['network_mode'] !== undefined) {
      if (service['network_mode'] !== 'none') yield `network_mode is none or not set; found ${service['network_mode']}`;
      return;
    }
    if (names.length === 0) yield 'networks are named';
    const all = isMap(compose.document['networks']) ? compose.document['networks'] : {};
    for (const network of names) {
      const declared = all[network];
      if (declared === undefined) yield `the network ${network} is not declared`;
      else if (kept.has(name) && !(isMap(declared) && declared['internal'] === true)) yield `${network} leads outside`;
    }
  },
  *secrets(service) {
    for (const [name, value] of Object.entries(environmentOf(service))) {
      if (isSecret(name) && value !== '') yield `${name} would stand in the environment: name a file`;
      if (secretValue.test(value)) yield `${name} holds what looks like a credential`;
    }
    for (const word of [...strings(service['command']), ...strings(service['entrypoint'])]) {
      if (/--requirepass/.test(word) || secretValue.test(word)) yield 'a password stands in the command';
    }
  },
  *settings(service, { images, variables }) {
    const image = ours.exec(String(service['image']))?.[1];
    if (image !== undefined) yield* refused(service, { image: images[image] ?? {}, variables });
  },
  *health(service, { compose }) {
    const { healthcheck } = service;
    if (!isMap(healthcheck)) yield 'healthcheck is set, or disabled';
    for (const [other, condition] of needsOf(service)) {
      const dependedOn = compose.services[other];
      const checked = isMap(dependedOn?.['healthcheck']) && dependedOn['healthcheck']['disable'] !== true;
      if (dependedOn === undefined) yield `it depends on ${other}, which is no service`;
      else if (condition === 'service_healthy' && !checked)
        yield `it waits for the health of ${other}, which nobody checks`;
    }
  },
  // `up --wait` takes the end of a container for a failure, unless one that stays has waited for it.
  *'one-shot'({ restart, profiles }, { compose, name }) {
    if (restart !== 'no' || profiles !== undefined) return;
    const waited = Object.values(compose.services).some(
      (other) => other['restart'] !== 'no' && needsOf(other).get(name) === 'service_completed_successfully',
    );
    if (!waited) yield 'it ends, and no service that stays depends on service_completed_successfully of it';
  },
  *mounts(service, { compose }) {
    const declared = isMap(compose.document['volumes']) ? compose.document['volumes'] : {};
    for (const { type, source, readOnly, text } of mountsOf(service)) {
      if (type === 'bind' && source.startsWith('.')) {
        if (!existsSync(path.join(compose.folder, source))) yield `${source} does not exist`;
        if (!readOnly) yield `${source} is mounted read-only; found ${text}`;
      } else if (type !== 'volume') yield `nothing of the machine is mounted; found ${text}`;
      else if (source === '') yield `a volume has a name; found ${text}`;
      else if (declared[source] === undefined) yield `the volume ${source} is not declared`;
      else if (isMap(declared[source]) && 'driver_opts' in declared[source]) {
        yield `the volume ${source} is none of the machine's folders: it has no driver_opts`;
      } else if (source.endsWith('-secrets') && !readOnly && service['network_mode'] !== 'none') {
        yield `${source} is mounted read-only; found ${text}`;
      }
    }
  },
  *queue({ command }, { name }) {
    if (name !== 'queue') return;
    const words = strings(command);
    const after = (option: string) => words[words.indexOf(option) + 1];
    const wanted = { '--maxmemory-policy': 'noeviction', '--appendonly': 'yes' };
    for (const [option, value] of Object.entries(wanted)) {
      if (!words.includes(option) || after(option) !== value) yield `${option} is ${value}`;
    }
    if (!words.includes('--aclfile')) yield 'users have passwords: --aclfile';
  },
};

export const ruleNames: readonly string[] = Object.keys(rules);

/** All that is wrong by our own rules. */
export function applyRules(compose: Compose, known: Omit<Context, 'compose' | 'name'>): Finding[] {
  return Object.entries(compose.services).flatMap(([name, service]) =>
    Object.entries(rules).flatMap(([rule, find]) =>
      [...find(service, { ...known, compose, name })].map((message) => ({ service: name, rule, message })),
    ),
  );
}

/** For messages. */
export function described({ service, rule, message }: Finding): string {
  return `${service}: ${rule}: ${message}`;
}
