/** Which handler a method and a path have: patterns such as "/sandboxes/:id/timeout". */

export interface Route<C> {
  method: string;
  pattern: string;
  handle(context: C, parts: Readonly<Record<string, string>>): Promise<Response>;
}

export interface Found<C> {
  route: Route<C>;
  parts: Record<string, string>;
}

/** `methods`: those that the path allows, if the request's is none of them. */
export function findRoute<C>(
  routes: readonly Route<C>[],
  { method, path }: { method: string; path: string },
): Found<C> | { methods: string[] } {
  const words = path.split("/");
  const methods: string[] = [];
  for (const route of routes) {
    const parts = match(route.pattern.split("/"), words);
    if (parts && route.method === method) return { route, parts };
    if (parts) methods.push(route.method);
  }
  return { methods };
}

function match(pattern: readonly string[], words: readonly string[]) {
  if (pattern.length !== words.length) return undefined;
  const parts: Record<string, string> = {};
  for (const [index, each] of pattern.entries()) {
    const word = words[index] ?? "";
    if (!each.startsWith(":")) {
      if (each !== word) return undefined;
    } else {
      const decoded = decode(word);
      if (!decoded) return undefined;
      parts[each.slice(1)] = decoded;
    }
  }
  return parts;
}

function decode(word: string): string | undefined {
  try {
    return decodeURIComponent(word);
  } catch {
    return undefined;
  }
}
