/** The images of infra/images, each NAME.Dockerfile there. */
export const imageNames = ['control', 'worker', 'worker-cpu'] as const;
export type ImageName = (typeof imageNames)[number];

/** Bytes that an image may have, all layers unpacked. The worker's is mostly cuBLASLt; weights are in none but the small model. */
export const byteLimits: Readonly<Record<ImageName, number>> = {
  control: 500_000_000,
  worker: 1_500_000_000,
  'worker-cpu': 500_000_000,
};

export function isImageName(name: string): name is ImageName {
  return (imageNames as readonly string[]).includes(name);
}
