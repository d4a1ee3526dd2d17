import { BangerError } from "#base/error.ts";

/** Refuses what is no address of a web server. */
export function parseHttpUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && ["http:", "https:"].includes(url.protocol) && url.username === "") return url;
  throw new BangerError(
    "invalid_argument",
    `Cannot use "${text.slice(0, 200)}" as an address: it is no http or https URL`,
  );
}
