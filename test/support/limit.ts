/**
 * The one limit of tests that wait for something: boots, commands, whole tests. It is there to end what
 * hangs, and is ten times what the slowest takes on a busy computer; nothing is proven by how long it is.
 */
export const LIMIT_MS = 900_000;
