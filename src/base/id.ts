import { randomBytes } from "node:crypto";

const ID_LENGTH = 12;
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz";

/** 12 characters, 60 random bits, the first one a letter: "k3v0q8zj7t1m". */
export function newId(): string {
  const bytes = randomBytes(ID_LENGTH);
  const characters = Array.from(bytes, (byte) => alphabet[byte & 31] ?? "");
  characters[0] = alphabet[10 + ((bytes[0] ?? 0) % 22)] ?? "a";
  return characters.join("");
}
