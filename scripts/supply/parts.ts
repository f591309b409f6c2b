/** The workspaces whose packages each kind of image carries, by their folders; and what a checkout adds to run them: Node. */
export const parts: Readonly<Record<string, readonly string[]>> = {
  control: ['producer', 'infra/controller'],
  worker: ['worker', 'native'],
  checkout: [''],
};
