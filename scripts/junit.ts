/** Parses the report of `bun test --reporter=junit`: counts, and the names of skipped tests. */

export interface TestCounts {
  passed: number;
  failed: number;
  /** Full name of each skipped test, from the outermost `describe` in. */
  skipped: string[];
}

/** Undefined when the text is not a whole report, as after a crash of the runner. */
export function readJunit(xml: string): TestCounts | undefined {
  if (!xml.trimEnd().endsWith("</testsuites>")) return undefined;
  const counts: TestCounts = { passed: 0, failed: 0, skipped: [] };
  for (const [, attributes = "", body = ""] of xml.matchAll(
    /<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g,
  )) {
    if (/<(failure|error)\b/.test(body)) counts.failed++;
    else if (/<skipped\b/.test(body)) counts.skipped.push(fullName(attributes));
    else counts.passed++;
  }
  return counts;
}

function fullName(attributes: string): string {
  const value = (name: string) =>
    unescapeXml(new RegExp(`\\b${name}="([^"]*)"`).exec(attributes)?.[1] ?? "");
  return [value("classname"), value("name")].filter(Boolean).join(" > ");
}

function unescapeXml(text: string): string {
  const named: Record<string, string> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text.replace(/&(?:#(\d+)|(\w+));/g, (all, code: string, name: string) =>
    code ? String.fromCodePoint(Number(code)) : (named[name] ?? all),
  );
}
