import { expect, test } from "bun:test";
import { pageOf } from "./list.ts";

const items = ["a", "b", "c", "d", "e"];
const page = (text: string, of = items) => pageOf(of, new URLSearchParams(text), (each) => each);

test("pages follow each other to the end", () => {
  const seen: string[] = [];
  let token: string | undefined = "";
  while (token !== undefined) {
    const { page: found, next } = page(token ? `limit=2&nextToken=${token}` : "limit=2");
    seen.push(...found);
    token = next;
  }
  expect(seen).toEqual(items);
});

test("a page that ends with the list has no next one", () => {
  expect(page("limit=5").next).toBeUndefined();
  expect(page("", []).page).toEqual([]);
});

test("limits and tokens that are none are refused", () => {
  expect(() => page("limit=0")).toThrow("invalid limit");
  expect(() => page("limit=101")).toThrow("invalid limit");
  expect(() => page("nextToken=eg")).toThrow("invalid nextToken");
});
