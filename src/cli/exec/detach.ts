/** Detects the detach keys in the input. */

export interface DetachFilter {
  /** What is to be passed on; `detached` once the keys were all pressed, one after another. */
  push(chunk: Uint8Array): { bytes: Uint8Array; detached: boolean };
}

/** Keys that could be the beginning are held back until the next one says whether they are. */
export function makeDetachFilter(keys: Uint8Array): DetachFilter {
  let matched = 0;
  return {
    push(chunk) {
      const out: number[] = [];
      for (const byte of chunk) {
        if (keys.length > 0 && byte === keys[matched]) {
          matched++;
          if (matched === keys.length) return { bytes: Uint8Array.from(out), detached: true };
          continue;
        }
        out.push(...keys.subarray(0, matched));
        matched = byte === keys[0] && keys.length > 0 ? 1 : 0;
        if (matched === 0) out.push(byte);
      }
      return { bytes: Uint8Array.from(out), detached: false };
    },
  };
}
