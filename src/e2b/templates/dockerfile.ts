/** A template's steps as a Dockerfile. */
import { posix } from "node:path";
import { z } from "zod";
import { badRequest, notServed } from "#e2b/errors.ts";

/** Runs bash, or sh in an image without it. */
export function shellArgv(command: string): string[] {
  const either =
    'if [ -x /bin/bash ]; then exec /bin/bash -l -c "$0"; else exec /bin/sh -l -c "$0"; fi';
  return ["/bin/sh", "-c", either, command];
}

const STEPS_MAX = 1000;
/** The user of E2B's base images, which its clients switch to. */
const USER = "user";

export const templateBuild = z.object({
  fromImage: z.string().max(1024).nullish(),
  fromTemplate: z.string().max(1024).nullish(),
  fromImageRegistry: z.unknown().nullish(),
  startCmd: z.string().max(65_536).nullish(),
  readyCmd: z.string().max(65_536).nullish(),
  force: z.boolean().nullish(),
  steps: z
    .array(
      z.object({
        type: z.string(),
        args: z.array(z.string()).nullish(),
        filesHash: z.string().nullish(),
        force: z.boolean().nullish(),
      }),
    )
    .max(STEPS_MAX)
    .nullish(),
});
export type TemplateBuild = z.infer<typeof templateBuild>;

/** Settings of the template's sandboxes besides the image. */
export interface TemplateSettings {
  start?: string | undefined;
  ready?: string | undefined;
  cpus?: number | undefined;
  memory_mib?: number | undefined;
}

const LABELS = {
  start: "e2b.start",
  ready: "e2b.ready",
  cpus: "e2b.cpus",
  memory_mib: "e2b.memory",
} as const;

export function settingsOf(labels: Readonly<Record<string, string>> = {}): TemplateSettings {
  const number = (name: string) => Number(labels[name]) || undefined;
  return {
    start: labels[LABELS.start],
    ready: labels[LABELS.ready],
    cpus: number(LABELS.cpus),
    memory_mib: number(LABELS.memory_mib),
  };
}

/** `files`: archives by their hashes, in the build's context. */
export function dockerfileOf(
  { steps, ...build }: TemplateBuild,
  { from, settings }: { from: string; settings: TemplateSettings },
): string {
  if (build.fromImageRegistry) throw notServed("credentials of a template's registry");
  const all = steps ?? [];
  const archives = [...new Set(all.flatMap(({ filesHash }) => filesHash ?? []))].map(checkedHash);
  const stages = archives.flatMap((hash) => [`FROM scratch AS ${stageOf(hash)}`, `ADD ${hash} /`]);
  const labels = Object.entries(settings)
    .filter(([, value]) => value !== undefined)
    .map(
      ([key, value]) => `LABEL ${LABELS[key as keyof TemplateSettings]}=${quoted(String(value))}`,
    );
  const lines = [...stages, `FROM ${word(from)}`];
  if (usesUser(all)) lines.push("USER root", run(ADD_USER));
  let user = "root";
  for (const { type, args, filesHash } of all) {
    const [first = "", second = "", third = "", fourth = ""] = args ?? [];
    switch (type.toUpperCase()) {
      case "RUN":
        lines.push(
          ...(second ? [`USER ${word(second)}`, run(first), `USER ${user}`] : [run(first)]),
        );
        break;
      case "COPY": {
        if (!filesHash) throw badRequest("invalid COPY: no filesHash");
        const owner = third ? ` --chown=${word(third)}` : "";
        const mode = fourth ? ` --chmod=${word(fourth)}` : "";
        const paths = JSON.stringify([posix.join("/", first), second]);
        lines.push(`COPY --from=${stageOf(filesHash)}${owner}${mode} ${paths}`);
        break;
      }
      case "WORKDIR":
        lines.push(`WORKDIR ${oneLine(first)}`);
        break;
      case "USER":
        user = word(first);
        lines.push(`USER ${user}`);
        break;
      case "ENV":
        lines.push(
          ...pairs(args ?? []).map(([name, value]) => `ENV ${word(name)}=${quoted(value)}`),
        );
        break;
      default:
        throw notServed(`template step ${type.slice(0, 40)}`);
    }
  }
  return `${[...lines, ...labels].join("\n")}\n`;
}

export function checkedHash(hash: string): string {
  if (/^[0-9a-f]{16,128}$/.test(hash)) return hash;
  throw badRequest("invalid filesHash");
}

function stageOf(hash: string): string {
  return `files-${checkedHash(hash)}`;
}

function usesUser(steps: NonNullable<TemplateBuild["steps"]>): boolean {
  return steps.some(({ type, args }) => {
    const [first, second, third] = args ?? [];
    const named = { USER: first, RUN: second, COPY: third }[type.toUpperCase()];
    return named === USER;
  });
}

const ADD_USER = `id ${USER} >/dev/null 2>&1 || useradd -m -s /bin/bash ${USER} || adduser -D ${USER}`;

function run(command: string): string {
  return `RUN ${JSON.stringify(shellArgv(command))}`;
}

function pairs(args: readonly string[]): [string, string][] {
  return Array.from({ length: Math.ceil(args.length / 2) }, (_, index) => [
    args[index * 2] ?? "",
    args[index * 2 + 1] ?? "",
  ]);
}

function quoted(text: string): string {
  return `"${oneLine(text).replace(/["\\$]/g, "\\$&")}"`;
}

/** A Dockerfile's lines are its instructions. */
function oneLine(text: string): string {
  if (!/[\r\n\0]/.test(text)) return text;
  throw badRequest("invalid template step: a line end outside of a command");
}

function word(text: string): string {
  if (/^[^\s"'\\$]+$/.test(text)) return text;
  throw badRequest(`invalid template step: "${text.slice(0, 60)}"`);
}
