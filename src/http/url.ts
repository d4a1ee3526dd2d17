import { BangerError } from "#base/error.ts";

/** Refuses what is no address of a web server. */
export function parseHttpUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && ["http:", "https:"].includes(url.protocol) && url.username === "") return url;
  throw new BangerError(
    "invalid_argument",
    `invalid URL "${text.slice(0, 200)}": expected http or https`,
  );
}
