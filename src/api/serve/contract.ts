/** The part of the contract that is about the API on TCP and its tokens. */
import { eventIterator } from "@orpc/contract";
import { z } from "zod";
import { fails, nothing } from "#api/procedure.ts";
import { serveListen, serving } from "./serving.ts";
import { token, tokenCreate, tokenCreated, tokenRef } from "./token.ts";

export const tokenContract = {
  list: fails()
    .route({ method: "GET", path: "/tokens", summary: "List tokens" })
    .output(z.array(token)),
  create: fails("already_exists", "limit_exceeded")
    .route({ method: "POST", path: "/tokens", summary: "Create a token" })
    .input(tokenCreate)
    .output(tokenCreated),
  remove: fails("not_found")
    .route({ method: "DELETE", path: "/tokens/{name}", summary: "Revoke a token" })
    .input(z.object({ name: tokenRef }))
    .output(nothing),
};

export const serveContract = {
  list: fails()
    .route({ method: "GET", path: "/serve", summary: "List addresses that the API is served at" })
    .output(z.array(serving)),
  /** For as long as the stream is read. */
  listen: fails("conflict", "not_found")
    .route({ method: "POST", path: "/serve", summary: "Serve the API on TCP" })
    .input(serveListen)
    .output(eventIterator(serving)),
};
