/** Where the pack with the web UI is, in a checkout and in the compiled binary alike. */
import packPath from "../../../build/bin/banger-ui.pack" with { type: "file" };

export const uiPackPath: string = packPath;
