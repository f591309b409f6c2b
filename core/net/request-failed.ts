/**
 * Why a request came to nothing:
 *   forbidden     the address, or one that it led to, is none that we ask: not https, not public, a port, a password
 *   no_host       its name is known to no name server
 *   untrusted     its certificate is not trusted
 *   redirected    it leads on more often than allowed, or at all where no redirect is followed
 *   broken        no connection, or it broke or fell silent: worth another try
 */
export type RequestFault = 'forbidden' | 'no_host' | 'untrusted' | 'redirected' | 'broken';

/** The one error of `core/net`: whoever asked says what it means for the work in hand. */
export class RequestFailed extends Error {
  readonly fault: RequestFault;
  constructor(fault: RequestFault, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options);
    this.name = 'RequestFailed';
    this.fault = fault;
  }
}
