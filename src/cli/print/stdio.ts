/** Writing to standard output and standard error at the pace of whoever reads them. */

/** Resolves when the bytes were taken. Rejects with EPIPE when nobody reads any more. */
export function writeTo(stream: NodeJS.WriteStream, data: string | Uint8Array): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  stream.write(data, (error) => (error ? reject(error) : resolve()));
  return promise;
}
