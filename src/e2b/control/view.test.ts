import { expect, test } from "bun:test";
import { domainOf } from "./view.ts";

test("domainOf() is a name below which there are names of sandboxes", () => {
  expect(domainOf("127.0.0.1:7777")).toBe("localhost:7777");
  expect(domainOf("[::1]:7777")).toBe("localhost:7777");
  expect(domainOf("localhost:7777")).toBe("localhost:7777");
  expect(domainOf("box.example.org")).toBe("box.example.org");
});
