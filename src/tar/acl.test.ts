import { expect, test } from "bun:test";
import fc from "fast-check";
import { aclFromText } from "./acl.ts";

const hex = (text: string) => {
  const acl = aclFromText(text);
  return acl && Buffer.from(acl).toString("hex");
};

/** As getfattr shows it after setfacl -m u:1000:rx. */
const ONE =
  "02000000" +
  "01000600ffffffff" +
  "02000500e8030000" +
  "04000400ffffffff" +
  "10000500ffffffff" +
  "20000400ffffffff";

test.each([
  "user::rw-,user:1000:r-x,group::r--,mask::r-x,other::r--",
  "user::rw-,user:joe:r-x:1000,group::r--,mask::r-x,other::r--",
  "u::rw-\ng::r--\nm:r-x\no:r--\nu:1000:r-x\n",
  "user::rw-\nuser:1000:r-x\t#effective:r-x\ngroup::r--\nmask::r-x\n# a comment\nother::r--\n",
])("aclFromText(%j)", (text) => {
  expect(hex(text)).toBe(ONE);
});

test.each([
  ["", "nothing"],
  ["user::rw-,group::r--,other::r--", "no more than the mode"],
  ["user::rw-,user:joe:r-x,group::r--,mask::r-x,other::r--", "a name without a number"],
  ["user::rw-,user:1000:r-x,group::r--,other::r--", "no mask"],
  ["user::rw-,user:1000:r-x,user:1000:rwx,group::r--,mask::r-x,other::r--", "somebody twice"],
  ["user:1000:r-x,group::r--,mask::r-x,other::r--", "no owner"],
  ["user::rw-,user:99999999999:r-x,group::r--,mask::r-x,other::r--", "no number"],
  ["everyone@:rwx:allow", "another system's list"],
])("aclFromText(%j) is left out: %s", (text) => {
  expect(aclFromText(text)).toBeUndefined();
});

test("aclFromText() takes any text", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (a, b) => {
      aclFromText(`user:${a}:${b}`);
      aclFromText(a);
    }),
  );
});
