import { randomBytes } from "node:crypto";

const ID_LENGTH = 12;
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz";

const pattern = new RegExp(`^[${alphabet.slice(10)}][${alphabet}]{${ID_LENGTH - 1}}$`);

/** 12 characters, 60 random bits, the first one a letter: "k3v0q8zj7t1m". */
export function newId(): string {
  const bytes = randomBytes(ID_LENGTH);
  const characters = Array.from(bytes, (byte) => alphabet[byte & 31] ?? "");
  characters[0] = alphabet[10 + ((bytes[0] ?? 0) % 22)] ?? "a";
  return characters.join("");
}

/** Whether it is one; what is not may be a path. */
export function isId(text: string): boolean {
  return pattern.test(text);
}
