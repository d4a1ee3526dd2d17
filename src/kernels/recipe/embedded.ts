/** The text of the embedded recipes and features. */
import { readRecipeFolder } from "./embed.ts" with { type: "macro" };

export const embeddedTexts = readRecipeFolder();
