/** Template builds: their sources, progress, and the files that their steps copy. */
import { randomUUID } from "node:crypto";
import {
  createWriteStream,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { imageName } from "#api/image.ts";
import { BangerError } from "#base/error.ts";
import type { Backend } from "#e2b/backend.ts";
import { badRequest, notFound, textOf } from "#e2b/errors.ts";
import { finish } from "#sdk/stream.ts";
import {
  checkedHash,
  dockerfileOf,
  type TemplateBuild,
  type TemplateSettings,
} from "./dockerfile.ts";

const BUILDS_MAX = 200;
const LOGS_MAX = 10_000;
/** Of one answer, as E2B's has them. */
const LOGS_PER_ANSWER = 100;
/** Files that no build has asked for since. */
const FILES_KEPT_MS = 7 * 24 * 3_600_000;

interface LogEntry {
  timestamp: string;
  level: "info" | "error";
  message: string;
}

interface Build {
  id: string;
  template: string;
  tags: readonly string[];
  settings: TemplateSettings;
  status: "waiting" | "building" | "ready" | "error";
  logs: LogEntry[];
  reason: string | undefined;
}

export class TemplateBuilds {
  readonly #folder: string;
  readonly #builds = new Map<string, Build>();

  /** `folder`: for files that steps copy, by the hashes that clients give them. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  request(wanted: { name: string; tags: readonly string[]; settings: TemplateSettings }): Build {
    const [name = "", tag] = wanted.name.split(":");
    const template = imageOf(name);
    const tags = [...(tag ? [tag] : []), ...wanted.tags].map((each) => each.toLowerCase());
    for (const each of tags) imageOf(`${name}:${each}`);
    const build: Build = {
      id: randomUUID(),
      template,
      tags,
      settings: wanted.settings,
      status: "waiting",
      logs: [],
      reason: undefined,
    };
    this.#builds.set(build.id, build);
    for (const [id, { status }] of this.#builds) {
      if (this.#builds.size <= BUILDS_MAX) break;
      if (status !== "building") this.#builds.delete(id);
    }
    return build;
  }

  /** Starts a build, which continues after the request. */
  start(backend: Backend, id: string, wanted: TemplateBuild, from: string): void {
    const build = this.#find(id);
    if (build.status !== "waiting") throw badRequest("the build has been started already");
    const settings = { ...build.settings, start: wanted.startCmd ?? undefined };
    const ready = wanted.readyCmd ?? undefined;
    const dockerfile = dockerfileOf(wanted, { from, settings: { ...settings, ready } });
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    build.status = "building";
    void this.#run(backend, build, { dockerfile, noCache: wanted.force ?? false });
  }

  status(id: string, offset: number) {
    const { template, status, logs, reason } = this.#find(id);
    const logEntries = logs.slice(offset, offset + LOGS_PER_ANSWER);
    return {
      templateID: template,
      buildID: id,
      status,
      logs: logEntries.map(({ message }) => message),
      logEntries,
      ...(reason === undefined ? {} : { reason: { message: reason, logEntries: [] } }),
    };
  }

  hasFiles(hash: string): boolean {
    return existsSync(this.#file(hash));
  }

  /** A tar archive, compressed or not. */
  async addFiles(hash: string, body: AsyncIterable<Uint8Array>): Promise<void> {
    const file = this.#file(hash);
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    this.#removeOld();
    const staging = `${file}.${randomUUID()}.new`;
    try {
      await pipeline(Readable.from(body), createWriteStream(staging, { mode: 0o600 }));
      renameSync(staging, file);
    } finally {
      rmSync(staging, { force: true });
    }
  }

  async #run(
    { client }: Backend,
    build: Build,
    { dockerfile, noCache }: { dockerfile: string; noCache: boolean },
  ): Promise<void> {
    const log = (level: LogEntry["level"], message: string): void => {
      if (build.logs.length >= LOGS_MAX) return;
      build.logs.push({ timestamp: new Date().toISOString(), level, message });
    };
    try {
      const context = this.#folder;
      const work = client.image.build({ name: build.template, dockerfile, context, noCache });
      let last = "";
      await finish(work, ({ message, lines }) => {
        for (const line of lines ?? []) log("info", line);
        if (message !== last) log("info", message);
        last = message;
      });
      for (const tag of build.tags) {
        await client.image.tag({ name: build.template, to: imageOf(`${build.template}:${tag}`) });
      }
      build.status = "ready";
    } catch (error) {
      build.reason = error instanceof BangerError ? textOf(error) : String(error);
      log("error", build.reason);
      build.status = "error";
    }
  }

  #find(id: string): Build {
    const build = this.#builds.get(id);
    if (build) return build;
    throw notFound(`build "${id.slice(0, 64)}" not found`);
  }

  #file(hash: string): string {
    return join(this.#folder, checkedHash(hash));
  }

  #removeOld(): void {
    const last_ms = Date.now() - FILES_KEPT_MS;
    for (const name of readdirSync(this.#folder)) {
      const path = join(this.#folder, name);
      if (statSync(path).mtimeMs < last_ms) rmSync(path, { force: true });
    }
  }
}

/** Image of a template's name, "name" or "name:tag": images have no colon in theirs. */
export function imageOf(template: string): string {
  const [name = "", tag] = template.toLowerCase().split(":");
  const image = tag === undefined || tag === "default" ? name : `${name}.${tag}`;
  if (imageName.safeParse(image).success) return image;
  throw badRequest(
    `invalid template name "${template.slice(0, 100)}": lower-case letters, digits, dots, dashes and underscores`,
  );
}
