/** Parses here-documents: `<<EOF`, `<<-"EOF"`, `3<<EOF`. */
import { BangerError } from "#base/error.ts";
import { expandWords, type WordOptions } from "./words.ts";

export interface HeredocMark {
  name: string;
  /** Whether variables are expanded: not if the delimiter is quoted. */
  isExpanded: boolean;
  /** "<<-": leading tabs are stripped. */
  hasTabs: boolean;
}

export interface Heredoc extends HeredocMark {
  /** The raw text. */
  content: string;
}

const HEREDOCS_MAX = 1000;
/** Shell words always use the backslash, whatever the file's escape character. */
const SHELL: WordOptions = { escapeChar: "\\", lookup: () => undefined };

/** The here-documents of an instruction, in order. A quoted "<<" begins none. */
export function heredocsOf(text: string): HeredocMark[] {
  const marks = wordsOf(text, "all").flatMap((word) => heredocOf(word) ?? []);
  if (marks.length <= HEREDOCS_MAX) return marks;
  throw new BangerError("limit_exceeded", `too many here-documents: more than ${HEREDOCS_MAX}`);
}

/** Parses a word that consists of one here-document operator. */
export function heredocOf(word: string): HeredocMark | undefined {
  const [, dash, written = ""] = /^\d*<<(-?)\s*([^<]*)$/.exec(word) ?? [];
  const [name, ...more] = wordsOf(written, "unset");
  if (name === undefined || more.length > 0) return undefined;
  return { name, isExpanded: quotes(name) === quotes(written), hasTabs: dash === "-" };
}

/** Its text, with tabs stripped if requested. */
export function textOf({ content, hasTabs }: Heredoc): string {
  return hasTabs ? content.replace(/^\t+/gm, "") : content;
}

/** Empty if the words are not valid in a Dockerfile. */
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
