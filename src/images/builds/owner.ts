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
  if (/^\d{1,10}$/.test(name) && Number(name) <= ID_MAX) return Number(name);
  const lines = new TextDecoder().decode(view.read(file)).split("\n");
  const fields = lines.map((line) => line.split(":")).find(([first]) => first === name);
  const id = Number(fields?.[2]);
  if (fields && Number.isInteger(id) && id >= 0 && id <= ID_MAX) return id;
  throw new BangerError("not_found", `The image's /${file} does not have "${name}"`);
}
