import { expect, test } from "bun:test";
import { Gathered } from "./gathered.ts";

test("one that is gone again keeps none of the others from being loaded", async () => {
  const loaded = Promise.withResolvers<string>();
  const gathered = new Gathered({
    async one(id) {
      if (id === "gone") throw new Error("not found");
      loaded.resolve(id);
    },
    all: () => Promise.reject(new Error("not asked for")),
  });
  gathered.add("gone");
  gathered.add("there");
  expect(await loaded.promise).toBe("there");
});

test("many at once are loaded as a list, without those that were removed meanwhile", async () => {
  const all = Promise.withResolvers<string>();
  const gathered = new Gathered({
    one: () => Promise.reject(new Error("not asked for")),
    async all() {
      all.resolve("all");
    },
  });
  for (let at = 0; at < 10; at++) gathered.add(`machine-${at}`);
  gathered.delete("machine-0");
  expect(await all.promise).toBe("all");
});
