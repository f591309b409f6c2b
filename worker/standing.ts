/** How a worker stands to its queue, said alike by `/readyz` and by its signs of life. */
export class Standing {
  private readonly leaving: readonly AbortSignal[];
  private began = false;

  /** `leaving`: each says, once it aborts, that no job is taken any more. */
  constructor(leaving: readonly AbortSignal[]) {
    this.leaving = leaving;
  }

  /** Jobs are taken from now on. */
  begin(): void {
    this.began = true;
  }

  get status(): 'serving' | 'draining' {
    return this.leaving.some(({ aborted }) => aborted) ? 'draining' : 'serving';
  }

  get ready(): boolean {
    return this.began && this.status === 'serving';
  }
}
