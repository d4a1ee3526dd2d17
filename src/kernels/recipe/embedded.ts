/** The recipes and features that come with the program, as texts. */
import { readRecipeFolder } from "./embed.ts" with { type: "macro" };

export const embeddedTexts = readRecipeFolder();
