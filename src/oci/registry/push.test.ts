/** Pushes to registries that say in odd ways where an upload goes. */
import { expect, test } from "bun:test";
import { sha256 } from "#base/digest.ts";
import { parseReference } from "#oci/reference.ts";
import { bangerErrorOf } from "#test/expect-error.ts";
import { pushToRegistry, uploadUrl } from "./push.ts";

const BLOB = Buffer.from("the content of a blob");
const MANIFEST = Buffer.from("{}");
const UPLOAD = "/v2/team/app/blobs/uploads/1";

interface Habits {
  /** Of the answer to POST, with "HOST" for the registry's. */
  location?: string;
  startStatus?: number;
  storedStatus?: number;
  /** The first PUT of a blob is sent on to this path. */
  movesTo?: string;
}

/** Gives what it was sent, as "PATH?QUERY", in the order of arrival. */
async function push(habits: Habits): Promise<string[]> {
  const stored: string[] = [];
  using server: Bun.Server<undefined> = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request): Promise<Response> {
      const { pathname, search } = new URL(request.url);
      const host = `127.0.0.1:${server.port}`;
      if (request.method === "HEAD") return new Response(null, { status: 404 });
      if (request.method === "POST") {
        const location = habits.location?.replace("HOST", host);
        const headers: Record<string, string> = location === undefined ? {} : { location };
        return new Response(null, { status: habits.startStatus ?? 202, headers });
      }
      const body = Buffer.from(await request.arrayBuffer());
      const isMoved = habits.movesTo !== undefined && pathname === UPLOAD;
      if (isMoved) {
        return new Response(null, { status: 307, headers: { location: habits.movesTo ?? "" } });
      }
      const expected = pathname.includes("/manifests/") ? MANIFEST : BLOB;
      if (!body.equals(expected)) return new Response(null, { status: 400 });
      stored.push(`${pathname}${search}`);
      return new Response(null, { status: habits.storedStatus ?? 201 });
    },
  });
  const digest = sha256(BLOB);
  await pushToRegistry(parseReference(`127.0.0.1:${server.port}/team/app:v1`), {
    dockerConfigPath: "/none",
    retryDelay_ms: 1,
    blobs: [
      {
        digest,
        size: BLOB.length,
        async *read(): AsyncGenerator<Uint8Array> {
          yield BLOB;
        },
      },
    ],
    manifest: { bytes: MANIFEST, digest: sha256(MANIFEST), mediaType: "a/b" },
  });
  return stored;
}

const DIGEST = `digest=${sha256(BLOB)}`;
const MANIFEST_PATH = "/v2/team/app/manifests/v1";

test.each([
  ["a path", UPLOAD, DIGEST],
  ["a name beside", "1", DIGEST],
  ["no scheme", `HOST${UPLOAD}`, DIGEST],
  ["a login and a fragment", `http://a:b@HOST${UPLOAD}#x`, DIGEST],
  ["a signed query", `${UPLOAD}?_state=a%2Bb~%20c&flag`, `_state=a%2Bb~%20c&flag&${DIGEST}`],
  ["a digest of its own", `${UPLOAD}?digest=sha256:x&a=b`, `a=b&${DIGEST}`],
])("a Location with %s", async (_, place, query) => {
  expect(await push({ location: place })).toEqual([`${UPLOAD}?${query}`, MANIFEST_PATH]);
});

test("a registry behind a proxy that ends TLS speaks of itself as http", () => {
  const base = new URL("https://registry.example:5000/v2/");
  const place = (location: string) => uploadUrl(location, { asked: base, base })?.href;
  for (const port of ["", ":80", ":5000"]) {
    expect(place(`http://registry.example${port}/up?a=b`)).toBe(
      "https://registry.example:5000/up?a=b",
    );
  }
  expect(place("https://store.example/up")).toBe("https://store.example/up");
  expect(place("http://store.example/up")).toBeUndefined();
});

test("other successes, and an upload that is sent on", async () => {
  for (const habits of [{ startStatus: 200 }, { storedStatus: 204 }, { storedStatus: 200 }]) {
    expect(await push({ location: UPLOAD, ...habits })).toEqual([
      `${UPLOAD}?${DIGEST}`,
      MANIFEST_PATH,
    ]);
  }
  const elsewhere = "/elsewhere?token=1";
  expect(await push({ location: UPLOAD, movesTo: elsewhere })).toEqual([elsewhere, MANIFEST_PATH]);
});

const refused: [what: string, location: string | undefined, message: RegExp][] = [
  ["none", undefined, /no upload location/],
  ["another scheme", "ftp://127.0.0.1/x", /no upload location/],
  ["a metadata service", "http://169.254.169.254/latest", /169\.254\.169\.254/],
  ["no end", UPLOAD, /no upload location/],
];
test.each(refused)("a Location that is %s is refused", async (what, place, message) => {
  const movesTo = what === "no end" ? UPLOAD : undefined;
  const habits = { location: place, movesTo };
  expect((await bangerErrorOf(push(habits))).message).toMatch(message);
});
