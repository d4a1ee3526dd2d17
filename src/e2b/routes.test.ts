import { expect, test } from "bun:test";
import { findRoute, type Route } from "./routes.ts";

const handle = async () => new Response();
const routes: Route<void>[] = [
  { method: "GET", pattern: "/sandboxes/:id", handle },
  { method: "DELETE", pattern: "/sandboxes/:id", handle },
  { method: "GET", pattern: "/sandboxes/:id/logs", handle },
];

test("findRoute() gives the parts of a path, decoded", () => {
  const found = findRoute(routes, { method: "GET", path: "/sandboxes/a%2Fb/logs" });
  expect(found).toMatchObject({ route: { pattern: "/sandboxes/:id/logs" }, parts: { id: "a/b" } });
});

test("findRoute() tells a wrong method from a wrong path", () => {
  expect(findRoute(routes, { method: "PUT", path: "/sandboxes/a" })).toEqual({
    methods: ["GET", "DELETE"],
  });
  for (const path of ["/sandboxes", "/sandboxes/", "/sandboxes/a/b", "/sandboxes/%zz", ""]) {
    expect(findRoute(routes, { method: "GET", path })).toEqual({ methods: [] });
  }
});
