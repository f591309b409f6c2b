/**
 * Arguments of the Node that runs the worker's program. The young generation is kept small: left alone it grows in
 * steps of tens of megabytes after hours of reading, which is neither a leak nor the constant memory that is promised.
 */
export const workerNodeArgs: readonly string[] = ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=4'];
