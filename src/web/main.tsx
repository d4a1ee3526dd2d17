/** The web UI: logs in, follows the daemon, and shows the page of the address. */
import { effect } from "@preact/signals";
import { render } from "preact";
import { listenToKeys } from "#web/app/keys.ts";
import { followLinks } from "#web/app/route.ts";
import { Shell } from "#web/app/shell.tsx";
import { logIn, login } from "#web/link/daemon.ts";
import { followMachines, loadOnReturn } from "#web/link/machines.ts";
import { followQuestions } from "#web/link/questions.ts";
import { followUsage } from "#web/link/usage.ts";

const root = document.getElementById("app");
// The bar that was there before this script ran.
root?.replaceChildren();
if (root) render(<Shell />, root);
followLinks();
listenToKeys();
loadOnReturn();
effect(() => {
  if (login.value !== "in") return;
  void followMachines();
  void followUsage();
  void followQuestions();
});
await logIn();
