import { expect, test } from "bun:test";
import { CallCounts, metricsText } from "./metrics.ts";

test("metricsText() counts calls, and names every state also when no machine has it", () => {
  const calls = new CallCounts();
  calls.add("vm.list", "ok");
  calls.add("vm.list", "ok");
  calls.add("vm.show", "not_found");
  const text = metricsText([], calls);
  expect(text).toContain('banger_calls_total{procedure="vm.list",outcome="ok"} 2\n');
  expect(text).toContain('banger_calls_total{procedure="vm.show",outcome="not_found"} 1\n');
  expect(text).toContain('banger_machines{state="running"} 0\n');
  for (const line of text.trimEnd().split("\n")) {
    expect(line).toMatch(/^(# (HELP|TYPE) \w+ .+|\w+(\{.*\})? \d+)$/);
  }
});
