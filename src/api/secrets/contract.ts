/** The part of the contract that is about the user's keyring. */
import { z } from "zod";
import { fails, nothing } from "#api/procedure.ts";
import { newSecretName, secretName, secretSource, storedSecret } from "./secret.ts";

export const secretContract = {
  list: fails()
    .route({ method: "GET", path: "/secrets", summary: "List secrets, without their values" })
    .output(z.array(storedSecret)),
  set: fails("limit_exceeded")
    .route({ method: "PUT", path: "/secrets/{name}", summary: "Store a secret in the keyring" })
    .input(z.object({ name: newSecretName, source: secretSource }))
    .output(storedSecret),
  remove: fails("not_found")
    .route({ method: "DELETE", path: "/secrets/{name}", summary: "Remove a secret" })
    .input(z.object({ name: secretName }))
    .output(nothing),
};
