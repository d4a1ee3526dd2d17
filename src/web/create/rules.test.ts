import { expect, test } from "bun:test";
import { NO_POLICY, type PolicyForm, policyOf, policySentence } from "./rules.ts";

const rulesOf = (part: Partial<PolicyForm>) => policyOf({ ...NO_POLICY, ...part }).policy;

test("denied destinations go first, and profiles last", () => {
  expect(
    rulesOf({ profiles: ["npm"], allow: "b.example\n@github a.example", deny: "ads.b.example" }),
  ).toEqual({ allow: ["deny ads.b.example", "b.example", "a.example", "@npm", "@github"] });
  expect(rulesOf({ profiles: ["npm"], allow: "@npm" })).toEqual({ allow: ["@npm"] });
});

test("the sentence is what becomes of a destination without a rule", () => {
  for (const [part, policy, sentence] of [
    [{}, undefined, "No policy: all destinations are allowed."],
    [{ denyAll: true }, { allow: [] }, "All outbound traffic is denied."],
    [{ ask: true }, { allow: [], ask: true }, "You are asked about all other destinations."],
    [{ allow: "a.example" }, { allow: ["a.example"] }, "All other destinations are denied."],
    [
      { deny: "a.example" },
      { allow: ["deny a.example", "0.0.0.0/0", "::/0"] },
      "All other destinations are allowed.",
    ],
    [
      { deny: "a.example", denyAll: true },
      { allow: ["deny a.example"] },
      "All outbound traffic is denied.",
    ],
    [
      { deny: "a.example", ask: true },
      { allow: ["deny a.example"], ask: true },
      "You are asked about all other destinations.",
    ],
  ] as const) {
    const found = rulesOf(part);
    expect(found, sentence).toEqual(policy as never);
    expect(policySentence(found), JSON.stringify(part)).toBe(sentence);
  }
});
