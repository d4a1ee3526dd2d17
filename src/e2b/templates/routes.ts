/** Routes of the control plane that are about templates. */
import { z } from "zod";
import { VM_CPUS_MAX, VM_MEMORY_MAX_MIB, VM_MEMORY_MIN_MIB } from "#api/vm.ts";
import type { Backend, ControlRequest } from "#e2b/backend.ts";
import { readJson } from "#e2b/body.ts";
import { sourceOf } from "#e2b/control/source.ts";
import { badRequest, E2bError, notFound, notServed } from "#e2b/errors.ts";
import type { Route } from "#e2b/routes.ts";
import { imageOf, type TemplateBuilds } from "./builds.ts";
import { templateBuild } from "./dockerfile.ts";

const buildRequest = z.object({
  name: z.string().max(255).nullish(),
  alias: z.string().max(255).nullish(),
  tags: z.array(z.string().max(64)).max(20).nullish(),
  cpuCount: z.int().min(1).max(VM_CPUS_MAX).nullish(),
  memoryMB: z.int().min(VM_MEMORY_MIN_MIB).max(VM_MEMORY_MAX_MIB).nullish(),
});
const tagRequest = z.object({ target: z.string().max(255), tags: z.array(z.string().max(64)) });

/** `uploadUrl`: where the caller may put the files of a hash. */
export function templateRoutes(
  builds: TemplateBuilds,
  uploadUrl: (context: ControlRequest, hash: string) => string,
): Route<ControlRequest>[] {
  return [
    {
      method: "POST",
      pattern: "/v3/templates",
      async handle({ request, mayBuild }) {
        assertBuilds(mayBuild);
        const wanted = await readJson(request, buildRequest);
        const name = wanted.name ?? wanted.alias;
        if (!name) throw badRequest("invalid name: required");
        const { cpuCount, memoryMB } = wanted;
        const settings = { cpus: cpuCount ?? undefined, memory_mib: memoryMB ?? undefined };
        const build = builds.request({ name, tags: wanted.tags ?? [], settings });
        const { id, template, tags } = build;
        const names = { names: [template], aliases: [template], tags };
        const reply = { templateID: template, buildID: id, public: false, ...names };
        return Response.json(reply, { status: 202 });
      },
    },
    {
      method: "GET",
      pattern: "/templates/:id/files/:hash",
      async handle(context, { hash = "" }) {
        assertBuilds(context.mayBuild);
        const reply = { present: builds.hasFiles(hash), url: uploadUrl(context, hash) };
        return Response.json(reply, { status: 201 });
      },
    },
    {
      method: "POST",
      pattern: "/v2/templates/:id/builds/:build",
      async handle({ request, backend, mayBuild }, { build = "" }) {
        assertBuilds(mayBuild);
        const wanted = await readJson(request, templateBuild);
        const from = wanted.fromImage ?? (await baseOf(backend, wanted.fromTemplate));
        builds.start(backend, build, wanted, from);
        return new Response(null, { status: 202 });
      },
    },
    {
      method: "GET",
      pattern: "/templates/:id/builds/:build/status",
      async handle({ request }, { build = "" }) {
        const offset = Number(new URL(request.url).searchParams.get("logsOffset") ?? 0);
        if (!Number.isInteger(offset) || offset < 0) throw badRequest("invalid logsOffset");
        return Response.json(builds.status(build, offset));
      },
    },
    {
      method: "GET",
      pattern: "/templates/aliases/:alias",
      async handle({ backend }, { alias = "" }) {
        const name = imageOf(alias);
        const images = await backend.client.image.list();
        if (!images.some((each) => each.name === name)) {
          throw notFound(`template "${alias}" not found`);
        }
        return Response.json({ templateID: name, public: false });
      },
    },
    {
      method: "DELETE",
      pattern: "/templates/tags",
      handle: async () => {
        throw notServed("removing tags of templates");
      },
    },
    {
      method: "POST",
      pattern: "/templates/tags",
      async handle({ request, backend }) {
        const { target, tags } = await readJson(request, tagRequest);
        const from = imageOf(target);
        const [name = ""] = target.split(":");
        for (const tag of tags) {
          await backend.client.image.tag({ name: from, to: imageOf(`${name}:${tag}`) });
        }
        return Response.json({ buildID: from, tags }, { status: 201 });
      },
    },
  ];
}

/** Before files are taken, which later builds would use. */
function assertBuilds(mayBuild: boolean): void {
  if (mayBuild) return;
  throw new E2bError(403, "building templates needs a token of scope full");
}

async function baseOf(backend: Backend, template: string | null | undefined): Promise<string> {
  if (!template) throw badRequest("fromImage or fromTemplate is required");
  const { create } = await sourceOf(backend, template);
  if (create.image) return create.image;
  throw badRequest(`a template cannot begin with "${template}": it is no image`);
}
