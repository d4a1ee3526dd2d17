/** E2B's control plane: its routes, with the answers that its clients expect. */
import { z } from "zod";
import type { Backend, ControlRequest, E2bCaller } from "#e2b/backend.ts";
import { check, readJson } from "#e2b/body.ts";
import { E2bError, notServed } from "#e2b/errors.ts";
import { isPaused, networkConfig, recordLabels, type Sandbox } from "#e2b/record.ts";
import { findRoute, type Route } from "#e2b/routes.ts";
import type { TemplateBuilds } from "#e2b/templates/builds.ts";
import { templateRoutes } from "#e2b/templates/routes.ts";
import { Deadlines } from "./deadlines.ts";
import { listSandboxes } from "./list.ts";
import { logLines, Metrics } from "./metrics.ts";
import { assertServed, networkUpdate, policyFor } from "./network.ts";
import {
  connectRequest,
  createSandbox,
  findSandbox,
  forkRequest,
  forkSandbox,
  newSandbox,
  pauseSandbox,
  resumeSandbox,
  setTimeoutOf,
  timeoutSeconds,
} from "./sandboxes.ts";
import { createSnapshot, listSnapshots, removeTemplate, snapshotRequest } from "./snapshots.ts";
import { connected, detailed, type SandboxTokens } from "./view.ts";

export interface ControlOptions {
  /** The caller's tokens for the sandbox. */
  tokensOf(sandbox: Sandbox, caller: E2bCaller): SandboxTokens;
  builds: TemplateBuilds;
  /** Where the caller may put files for builds. */
  uploadUrl(context: ControlRequest, hash: string): string;
  /** For timeouts, which no caller waits for. */
  backend: Backend;
}

const NO_CONTENT = 204;
/** Families of routes that E2B has and banger does not. */
const NOT_SERVED =
  /^\/(v\d\/)?(templates|secrets|volumes|teams|nodes|api-keys|access-tokens|events|admin)\b/;

export class Control {
  readonly #tokensOf: ControlOptions["tokensOf"];
  readonly #metrics = new Metrics();
  readonly #routes: readonly Route<ControlRequest>[];
  readonly deadlines: Deadlines;

  constructor({ tokensOf, backend, builds, uploadUrl }: ControlOptions) {
    this.#tokensOf = tokensOf;
    this.deadlines = new Deadlines(backend, (through, sandbox) =>
      pauseSandbox(through, sandbox, sandbox.record.keepMemory),
    );
    const templates = templateRoutes(builds, uploadUrl);
    const own = [...this.#lifeRoutes(), ...this.#stateRoutes(), ...this.#lookRoutes()];
    // Before DELETE /templates/:id, which "tags" would be taken for.
    this.#routes = [...templates, ...own];
  }

  async handle(context: ControlRequest): Promise<Response> {
    const { request, path } = context;
    const found = findRoute(this.#routes, { method: request.method, path });
    if ("route" in found) return await found.route.handle(context, found.parts);
    if (found.methods.length > 0) throw new E2bError(405, `method not allowed: ${request.method}`);
    if (NOT_SERVED.test(path)) throw notServed(path.split("/").slice(0, 3).join("/"));
    throw new E2bError(404, `no such path: ${path}`);
  }

  #lifeRoutes(): Route<ControlRequest>[] {
    const create = async (context: ControlRequest): Promise<Response> => {
      const { backend, request, signal } = context;
      const wanted = await readJson(request, newSandbox);
      const sandbox = await createSandbox(backend, wanted, signal);
      return this.#connected(sandbox, context, 201);
    };
    const resume = async (context: ControlRequest, id: string, isOld: boolean) => {
      const { timeout, memory } = await readJson(context.request, connectRequest);
      const found = await findSandbox(context.backend, id);
      if (isOld && !isPaused(found)) {
        throw new E2bError(409, `sandbox "${id}" is already running`);
      }
      const { sandbox, wasPaused } = await resumeSandbox(context.backend, found, {
        timeout_s: timeout ?? undefined,
        memory: memory ?? true,
        signal: context.signal,
      });
      return this.#connected(sandbox, context, wasPaused ? 201 : 200);
    };
    return [
      { method: "POST", pattern: "/sandboxes", handle: create },
      { method: "POST", pattern: "/v2/sandboxes", handle: create },
      ...["/sandboxes/:id/connect", "/v2/sandboxes/:id/connect"].map((pattern) => ({
        method: "POST",
        pattern,
        handle: (context: ControlRequest, { id = "" }: Record<string, string>) =>
          resume(context, id, false),
      })),
      {
        method: "POST",
        pattern: "/sandboxes/:id/resume",
        handle: (context, { id = "" }) => resume(context, id, true),
      },
      {
        method: "DELETE",
        pattern: "/sandboxes/:id",
        async handle({ backend }, { id = "" }) {
          const { vm } = await findSandbox(backend, id);
          await backend.client.vm.remove({ name: vm.id, force: true });
          return new Response(null, { status: NO_CONTENT });
        },
      },
      {
        method: "POST",
        pattern: "/sandboxes/:id/fork",
        handle: (context, { id = "" }) => this.#fork(context, id),
      },
    ];
  }

  #stateRoutes(): Route<ControlRequest>[] {
    const timeout = async (context: ControlRequest, id: string, field: "timeout" | "duration") => {
      const schema = z.object({ [field]: timeoutSeconds });
      const body = await readJson(context.request, schema);
      const sandbox = await findSandbox(context.backend, id);
      if (isPaused(sandbox)) throw new E2bError(409, `sandbox "${id}" is paused`);
      const { vm } = await setTimeoutOf(context.backend, sandbox, body[field] ?? 0);
      this.deadlines.watch(vm);
      return new Response(null, { status: NO_CONTENT });
    };
    return [
      {
        method: "POST",
        pattern: "/sandboxes/:id/timeout",
        handle: (context, { id = "" }) => timeout(context, id, "timeout"),
      },
      {
        method: "POST",
        pattern: "/sandboxes/:id/refreshes",
        handle: (context, { id = "" }) => timeout(context, id, "duration"),
      },
      {
        method: "POST",
        pattern: "/sandboxes/:id/pause",
        async handle({ backend, request }, { id = "" }) {
          const { memory } = await readJson(request, pauseRequest);
          await pauseSandbox(backend, await findSandbox(backend, id), memory ?? true);
          return new Response(null, { status: NO_CONTENT });
        },
      },
      {
        method: "PUT",
        pattern: "/sandboxes/:id/network",
        async handle({ backend, request }, { id = "" }) {
          const body = await readJson(request, networkUpdate);
          assertServed(body);
          const { vm, record } = await findSandbox(backend, id);
          const policy = policyFor(body, body.allow_internet_access);
          await backend.client.vm.setPolicy({ name: vm.id, allow: policy?.allow ?? null });
          const network = check(networkConfig, body);
          const { internet: _, ...rest } = record;
          const internet = body.allow_internet_access;
          const next = { ...rest, network, ...(typeof internet === "boolean" ? { internet } : {}) };
          await backend.client.vm.set({ name: vm.id, labels: recordLabels(next) });
          return new Response(null, { status: NO_CONTENT });
        },
      },
      {
        method: "POST",
        pattern: "/sandboxes/:id/snapshots",
        async handle({ backend, request, signal }, { id = "" }) {
          const { name } = await readJson(request, snapshotRequest);
          return await createSnapshot(backend, await findSandbox(backend, id), { name, signal });
        },
      },
    ];
  }

  #lookRoutes(): Route<ControlRequest>[] {
    return [
      {
        method: "GET",
        pattern: "/v2/sandboxes",
        handle: ({ backend, request }) => listSandboxes(backend, new URL(request.url).searchParams),
      },
      {
        method: "GET",
        pattern: "/sandboxes",
        handle: ({ backend, request }) =>
          listSandboxes(backend, new URL(request.url).searchParams, { isOld: true }),
      },
      {
        method: "GET",
        pattern: "/sandboxes/:id",
        handle: async (context, { id = "" }) => {
          const sandbox = await findSandbox(context.backend, id);
          const token = context.mayChange ? this.#tokensOf(sandbox, context).access : undefined;
          return Response.json(detailed(sandbox, { ...context, token }));
        },
      },
      {
        method: "GET",
        pattern: "/sandboxes/:id/metrics",
        handle: async ({ backend }, { id = "" }) =>
          Response.json(await this.#metrics.of(backend, await findSandbox(backend, id))),
      },
      {
        method: "GET",
        pattern: "/sandboxes/:id/logs",
        async handle({ backend, request }, { id = "" }) {
          const query = new URL(request.url).searchParams;
          const logs = await logLines(backend, await findSandbox(backend, id), query);
          return Response.json({ logs, logEntries: logs.map(toEntry) });
        },
      },
      {
        method: "GET",
        pattern: "/v2/sandboxes/:id/logs",
        async handle({ backend, request }, { id = "" }) {
          const query = new URL(request.url).searchParams;
          const logs = await logLines(backend, await findSandbox(backend, id), query);
          return Response.json({ logs: logs.map(toEntry) });
        },
      },
      {
        method: "GET",
        pattern: "/snapshots",
        handle: ({ backend, request }) => listSnapshots(backend, new URL(request.url).searchParams),
      },
      {
        method: "DELETE",
        pattern: "/templates/:id",
        async handle({ backend }, { id = "" }) {
          await removeTemplate(backend, id);
          return new Response(null, { status: NO_CONTENT });
        },
      },
    ];
  }

  async #fork(context: ControlRequest, id: string): Promise<Response> {
    const { backend, request, signal } = context;
    const wanted = await readJson(request, forkRequest);
    const source = await findSandbox(backend, id);
    if (isPaused(source)) throw new E2bError(409, `sandbox "${id}" is paused`);
    const results = await forkSandbox(backend, source, { ...wanted, signal });
    const shown = results.map((each) => {
      if ("error" in each) return each;
      this.deadlines.watch(each.vm);
      const tokens = this.#tokensOf(each, context);
      return { sandbox: connected(each, { ...context, tokens }) };
    });
    return Response.json(shown, { status: 201 });
  }

  #connected(sandbox: Sandbox, context: ControlRequest, status: number): Response {
    this.deadlines.watch(sandbox.vm);
    const tokens = this.#tokensOf(sandbox, context);
    return Response.json(connected(sandbox, { ...context, tokens }), { status });
  }
}

const pauseRequest = z.object({ memory: z.boolean().nullish() });

function toEntry({ timestamp, line }: { timestamp: string; line: string }) {
  return { timestamp, message: line, level: "info", fields: {} };
}
