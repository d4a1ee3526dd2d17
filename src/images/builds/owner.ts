/** What --chown and --chmod say. */
import { BangerError } from "#base/error.ts";
import type { Owner } from "./copy.ts";
import type { StageView } from "./view.ts";

const ID_MAX = 2 ** 32 - 2;

/** "user", "user:group", names or numbers; a group that is not said is the user's number. */
export function ownerOf(text: string, view: StageView): Owner {
  const [user = "", group, ...more] = text.split(":");
  if (user === "" || group === "" || more.length > 0) {
    throw new BangerError("invalid_argument", `"${text}" is no owner`);
  }
  const uid = numberOf(user, { view, file: "etc/passwd" });
  return { uid, gid: group === undefined ? uid : numberOf(group, { view, file: "etc/group" }) };
}

/** USER as the owner of what is made for it. As BuildKit has it, a name that the image lacks is root's. */
export function userOf(text: string, view: StageView): Owner {
  const [user = "", group] = text.split(":");
  const account = fieldsOf(user, { view, file: "etc/passwd" });
  const owner = isNumber(user)
    ? { uid: Number(user), gid: Number(user) }
    : { uid: idOf(account?.[2]), gid: idOf(account?.[3]) };
  if (!group) return owner;
  const named = fieldsOf(group, { view, file: "etc/group" });
  return { ...owner, gid: isNumber(group) ? Number(group) : idOf(named?.[2]) };
}

/** Permissions in octal: "755", "0644". */
export function permissionsOf(text: string): number {
  if (/^[0-7]{1,5}$/.test(text) && Number.parseInt(text, 8) <= 0o7777) {
    return Number.parseInt(text, 8);
  }
  throw new BangerError("unsupported", `"${text}" is no number in octal, as --chmod takes it`);
}

function numberOf(
  name: string,
  { view, file }: { view: StageView; file: "etc/passwd" | "etc/group" },
): number {
  if (isNumber(name)) return Number(name);
  const id = Number(fieldsOf(name, { view, file })?.[2]);
  if (isId(id)) return id;
  throw new BangerError("not_found", `The image's /${file} does not have "${name}"`);
}

function fieldsOf(
  name: string,
  { view, file }: { view: StageView; file: "etc/passwd" | "etc/group" },
): string[] | undefined {
  const lines = new TextDecoder().decode(view.read(file)).split("\n");
  return lines.map((line) => line.split(":")).find(([first]) => first === name);
}

function isNumber(text: string): boolean {
  return /^\d{1,10}$/.test(text) && Number(text) <= ID_MAX;
}

function isId(id: number): boolean {
  return Number.isInteger(id) && id >= 0 && id <= ID_MAX;
}

function idOf(text: string | undefined): number {
  return text !== undefined && isNumber(text) ? Number(text) : 0;
}
