/** Destinations that machines wait for: one stream for all of them. */
import { signal } from "@preact/signals";
import type { PolicyQuestion } from "#api/network.ts";
import { daemon, login } from "./daemon.ts";

const RETRY_MS = 2000;

export const questions = signal<readonly PolicyQuestion[]>([]);

export async function followQuestions(): Promise<void> {
  while (login.value === "in") {
    try {
      for await (const open of await daemon.policy.watch(undefined)) questions.value = open;
    } catch {
      // The list of machines tells that the daemon is gone.
    }
    questions.value = [];
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}
