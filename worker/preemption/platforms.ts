import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { type Clock, LonghaulError } from '@longhaul/core/contracts';
import type { Log } from '../ports.ts';
import { ec2Endpoint } from './ec2.ts';
import { ecsEndpoint } from './ecs.ts';
import { gceEndpoint } from './gce.ts';
import { kubernetesEndpoint } from './kubernetes.ts';
import { type Endpoint, polled } from './poll.ts';
import type { PreemptionSource } from './port.ts';
import { type Platform, type PreemptionSettings, platforms } from './settings.ts';

const vendorFile = '/sys/class/dmi/id/sys_vendor';

/** The sources that the settings name, or that this machine shows. @throws LonghaulError `invalid_config` */
export function platformSources(
  settings: PreemptionSettings,
  parts: { readonly clock: Clock; readonly log: Log },
): PreemptionSource[] {
  return choosePlatforms(settings, vendorOf(vendorFile)).map((platform) =>
    polled(endpointOf(platform, settings, parts.clock), parts),
  );
}

/**
 * `vendor`: who made the machine, by its firmware; null where that cannot be read, and then no cloud is asked: addresses
 * that a machine did not show are not knocked at, and a setting names what is there.
 */
export function choosePlatforms(settings: PreemptionSettings, vendor: string | null): readonly Platform[] {
  const choice = settings.LONGHAUL_PREEMPTION;
  if (choice === 'none') return [];
  if (choice !== 'auto') return [...new Set(choice)];
  const shown: Readonly<Record<Platform, boolean>> = {
    ec2: settings.LONGHAUL_IMDS_ENDPOINT !== undefined || vendor?.includes('Amazon') === true,
    gce: settings.LONGHAUL_GCE_METADATA_ENDPOINT !== undefined || vendor?.includes('Google') === true,
    ecs: settings.ECS_CONTAINER_METADATA_URI_V4 !== undefined,
    kubernetes: kubernetesApi(settings) !== null,
  };
  return platforms.filter((platform) => shown[platform]);
}

function endpointOf(platform: Platform, settings: PreemptionSettings, clock: Clock): Endpoint {
  switch (platform) {
    case 'ec2':
      return ec2Endpoint(settings.LONGHAUL_IMDS_ENDPOINT ?? 'http://169.254.169.254', clock.now);
    case 'gce':
      return gceEndpoint(settings.LONGHAUL_GCE_METADATA_ENDPOINT ?? 'http://169.254.169.254');
    case 'ecs':
      return ecsEndpoint(settings.ECS_CONTAINER_METADATA_URI_V4 ?? missing('ecs', 'ECS_CONTAINER_METADATA_URI_V4'));
    case 'kubernetes':
      return kubernetesEndpoint({
        api: kubernetesApi(settings) ?? missing('kubernetes', 'KUBERNETES_SERVICE_HOST'),
        serviceAccount: settings.LONGHAUL_KUBERNETES_SERVICE_ACCOUNT,
        pod: settings.LONGHAUL_POD_NAME ?? hostname(),
      });
  }
}

function kubernetesApi(settings: PreemptionSettings): string | null {
  const { LONGHAUL_KUBERNETES_API: api, KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = settings;
  if (api !== undefined) return api;
  if (host === undefined) return null;
  return `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function vendorOf(file: string): string | null {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return null;
  }
}

function missing(platform: Platform, name: string): never {
  throw new LonghaulError('invalid_config', `LONGHAUL_PREEMPTION names ${platform}, and ${name} is not set`);
}
