/** The language of Dockerfiles, case by case: words, stages, configuration, and what commands get. */
import { testBuilds } from "#test/build-cases.ts";

testBuilds({
  "ENV and LABEL replace variables with what was set before the instruction": {
    dockerfile: 'ENV A=1 B=2\nENV A=$B B=$A C="$A and $B"\nLABEL l=$A$B',
    config: { env: ["A=2", "B=1", "C=1 and 2"], labels: { l: "21" } },
  },
  "RUN gets the environment, the folder and the user": {
    dockerfile: "ENV A=1\nARG B=2\nWORKDIR /w\nUSER 5:6\nRUN echo $A",
    files: { "/w": "0:0 dir" },
    runs: [{ argv: ["/bin/sh", "-c", "echo $A"], cwd: "/w", user: "5:6", env: { A: "1", B: "2" } }],
    history: ["ENV A=1", "ARG B=2", "WORKDIR /w", "USER 5:6", "RUN /bin/sh -c echo $A"],
  },
});
