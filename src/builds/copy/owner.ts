/** Parses --chown and --chmod. */
import { BangerError } from "#base/error.ts";
import type { Owner } from "./target.ts";
import type { StageView } from "./view.ts";

export interface ModeChange {
  apply(mode: number, options: { isFolder: boolean }): number;
  /** The mode of directories that are created for the target. Default: 755. */
  ofNewFolders: number | undefined;
}

const ID_MAX = 2 ** 32 - 2;
const MODE_MAX = 0o7777;
const SET_ID = 0o6000;
const STICKY = 0o1000;
const READ = 0o444;
const WRITE = 0o222;
const EXECUTE = 0o111;

/**
 * "user", "user:group", ":group", names or numbers. The default group is the user's: that of /etc/passwd for a name,
 * the same number for a number.
 */
export function ownerOf(text: string, view: StageView): Owner {
  const [user = "", group = "", ...more] = text.split(":");
  if ((user === "" && group === "") || more.length > 0) {
    throw new BangerError(
      "invalid_argument",
      `invalid owner "${text}": expected USER, USER:GROUP or :GROUP`,
    );
  }
  const owner = user === "" ? { uid: 0, gid: 0 } : accountOf(user, view);
  if (group === "") return owner;
  return { ...owner, gid: idOf(group) ?? named(group, { view, file: "etc/group" }).id };
}

/** USER as the owner of a created directory. As in BuildKit, an unknown name counts as root. */
export function userOf(text: string, view: StageView): Owner {
  const [user = "", group = ""] = text.split(":");
  const own = idOf(user);
  const account = own === undefined ? fieldsOf(user, { view, file: "etc/passwd" }) : undefined;
  const owner = { uid: own ?? account?.id ?? 0, gid: own ?? account?.group ?? 0 };
  if (group === "") return owner;
  return { ...owner, gid: idOf(group) ?? fieldsOf(group, { view, file: "etc/group" }).id ?? 0 };
}

/** "755", and letters as in chmod(1): "u=rwX,go=rX". `invalid_argument`. */
export function modeChangeOf(text: string): ModeChange {
  if (/^\d/.test(text)) {
    const mode = /^[0-7]{1,22}$/.test(text) ? Number.parseInt(text, 8) : MODE_MAX + 1;
    if (mode > MODE_MAX) throw badMode(text);
    return { apply: () => mode, ofNewFolders: mode & 0o777 };
  }
  const steps = text.split(",").flatMap((clause) => stepsOf(clause, text));
  return {
    apply: (mode, { isFolder }) =>
      steps.reduce((now, step) => step(now, { original: mode, isFolder }), mode),
    ofNewFolders: undefined,
  };
}

type Step = (mode: number, of: { original: number; isFolder: boolean }) => number;

/** "go=u-w" is two steps for the same users. */
function stepsOf(clause: string, whole: string): Step[] {
  const [, who = "", rest = ""] = /^([ugoa]*)((?:[-+=][rwxXstugo]*)+)$/.exec(clause) ?? [];
  if (rest === "") throw badMode(whole);
  const classes = /a/.test(who) || who === "" ? "ugo" : who;
  const mask =
    (classes.includes("u") ? 0o4700 : 0) |
    (classes.includes("g") ? 0o2070 : 0) |
    (classes.includes("o") ? 0o007 : 0);
  const isOthersOnly = (mask & ~0o007) === 0;
  return [...rest.matchAll(/([-+=])([rwxXstugo]*)/g)].map(([, operator = "", letters = ""]) => {
    return (mode, { original, isFolder }) => {
      let bits = 0;
      for (const letter of letters) {
        if (letter === "r") bits |= READ;
        else if (letter === "w") bits |= WRITE;
        else if (letter === "x") bits |= EXECUTE;
        else if (letter === "s") bits |= SET_ID;
        else if (letter === "t") bits |= isOthersOnly ? 0 : STICKY;
        else if (letter === "X") {
          const isRun = operator === "-" || isFolder || (original & EXECUTE) !== 0;
          bits |= isRun ? EXECUTE : 0;
        } else {
          const shift = { u: 6, g: 3, o: 0 }[letter] ?? 0;
          bits |= ((mode >> shift) & 7) * EXECUTE;
        }
      }
      const changed = bits & (mask | STICKY);
      if (operator === "+") return mode | changed;
      if (operator === "-") return mode & ~changed;
      return (mode & ~mask) | changed;
    };
  });
}

function badMode(text: string): BangerError {
  return new BangerError("invalid_argument", `invalid value for --chmod: "${text}"`, {
    hint: "Use an octal mode up to 7777, or a symbolic mode as in chmod(1): u+x, go-w, u=rwX,go=rX",
  });
}

function accountOf(name: string, view: StageView): Owner {
  const id = idOf(name);
  if (id !== undefined) return { uid: id, gid: id };
  const { id: uid, group = uid } = named(name, { view, file: "etc/passwd" });
  return { uid, gid: group };
}

function named(name: string, where: Where): { id: number; group: number | undefined } {
  const { id, group } = fieldsOf(name, where);
  if (id !== undefined) return { id, group };
  throw new BangerError("not_found", `"${name}" not found in the image's /${where.file}`);
}

interface Where {
  view: StageView;
  file: "etc/passwd" | "etc/group";
}

/** The numeric fields after name and password. */
function fieldsOf(
  name: string,
  { view, file }: Where,
): { id?: number | undefined; group?: number | undefined } {
  const lines = new TextDecoder().decode(view.read(file)).split("\n");
  const fields = lines.map((line) => line.split(":")).find(([first]) => first === name);
  const [id, group] = (fields ?? []).slice(2, 4).map(idOf);
  return { id, group };
}

function idOf(text: string): number | undefined {
  return /^\d{1,10}$/.test(text) && Number(text) <= ID_MAX ? Number(text) : undefined;
}
