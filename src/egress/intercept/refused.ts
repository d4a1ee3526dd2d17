/** Why a request of a machine, or its answer, is not passed on. */
export class Refused extends Error {
  readonly status: number;
  /** The name of the secret that it is about. */
  readonly secret: string | undefined;

  constructor(reason: string, { status = 403, secret }: { status?: number; secret?: string } = {}) {
    super(reason);
    this.status = status;
    this.secret = secret;
  }
}
