/** Here-documents of an instruction: `<<EOF`, `<<-"EOF"`, `3<<EOF`. */
import { BangerError } from "#base/error.ts";
import { expandWords, type WordOptions } from "./words.ts";

export interface HeredocMark {
  name: string;
  /** Whether variables in it are replaced: no part of the name is quoted. */
  isExpanded: boolean;
  /** "<<-": tabs in front of its lines mean nothing. */
  hasTabs: boolean;
}

export interface Heredoc extends HeredocMark {
  /** As it stands in the file. */
  content: string;
}

const HEREDOCS_MAX = 1000;
/** Words of a shell: its escape character, whatever that of the file is. */
const SHELL: WordOptions = { escapeChar: "\\", lookup: () => undefined };

/** Those that a whole instruction begins, in order. A "<<" in quotes begins none. */
export function heredocsOf(text: string): HeredocMark[] {
  const marks = wordsOf(text, "all").flatMap((word) => heredocOf(word) ?? []);
  if (marks.length <= HEREDOCS_MAX) return marks;
  throw new BangerError("limit_exceeded", `too many here-documents: more than ${HEREDOCS_MAX}`);
}

/** The one that `word` is the beginning of, and nothing else. */
export function heredocOf(word: string): HeredocMark | undefined {
  const [, dash, written = ""] = /^\d*<<(-?)\s*([^<]*)$/.exec(word) ?? [];
  const [name, ...more] = wordsOf(written, "unset");
  if (name === undefined || more.length > 0) return undefined;
  return { name, isExpanded: quotes(name) === quotes(written), hasTabs: dash === "-" };
}

/** Its text, as a file gets it. */
export function textOf({ content, hasTabs }: Heredoc): string {
  return hasTabs ? content.replace(/^\t+/gm, "") : content;
}

/** None for what a shell may understand and a Dockerfile does not. */
function wordsOf(text: string, keeps: "all" | "unset"): string[] {
  try {
    return expandWords(text, { ...SHELL, keeps });
  } catch (error) {
    if (error instanceof BangerError) return [];
    throw error;
  }
}

function quotes(text: string): number {
  return text.match(/["']/g)?.length ?? 0;
}
