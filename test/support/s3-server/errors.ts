/** An answer that S3 gives as an XML error document. `code` is S3's own. */
export class S3Error extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.name = 'S3Error';
    this.status = status;
    this.code = code;
  }
}

export const noSuchKey = (key: string) => new S3Error(404, 'NoSuchKey', `The specified key does not exist: ${key}`);

export const preconditionFailed = (condition: string) =>
  new S3Error(
    412,
    'PreconditionFailed',
    `At least one of the pre-conditions you specified did not hold; Condition: ${condition}`,
  );
