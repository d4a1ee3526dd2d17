/** What real clients do in a ClientsLab, as shell scripts; $TOKEN is what the machine has for the token. */

export interface Client {
  /** Ends with 0 if all of it is well. */
  script: string;
  /** What its output matches. */
  tells: (string | RegExp)[];
  /** It needs no token. */
  isOpen?: boolean;
}

const SITE = "https://shop.test";
const CURL = `curl -sS --fail -m 600 -H "Authorization: Bearer $TOKEN"`;
const WHO = "https://me:$TOKEN@shop.test";
const BIG = `test "$(sha256sum < big | cut -c1-8)" = "$(yes 0123456789 | tr -d '\\n' | head -c 20000000 | sha256sum | cut -c1-8)"`;
/** Random bytes, and then what the server says their hash is. */
const UPLOAD = "head -c 4000000 /dev/urandom > up && sha256sum < up | cut -c1-64";
const SAME = 'test "$(cut -c1-64 sum)" = "$(grep -o \'[0-9a-f]\\{64\\}\' told)" && cat told';

function curl(version: "1.1" | "2", words: string): string {
  return `${CURL} --http${version} ${words}`;
}

/** The same in both versions of HTTP. */
function both(name: string, client: (version: "1.1" | "2") => Client): [string, Client][] {
  return (["1.1", "2"] as const).map((version) => [`${name}, HTTP/${version}`, client(version)]);
}

export const CLIENTS: Record<string, Client> = Object.fromEntries<Client>([
  ...both("curl keeps its connection", (version) => ({
    script: curl(version, `-w '%{num_connects}\\n' ${SITE}/echo ${SITE}/echo ${SITE}/echo`),
    tells: [new RegExp(`"version":"${version}`), /^1\n(.*\n)0\n(.*\n)0\n/m],
  })),
  ...both("curl asks for many things at once", (version) => ({
    script: `${curl(version, `-Z --parallel-max 20 "${SITE}/echo?[1-40]"`)} | grep -c version`,
    tells: [/^40$/m],
  })),
  ...both("curl downloads", (version) => ({
    script: `${curl(version, `-o big ${SITE}/big`)} && ${BIG} && echo whole`,
    tells: ["whole"],
  })),
  ...both("curl uploads, and waits for 100 Continue", (version) => ({
    script: `${UPLOAD} > sum && ${curl(version, `-H "Expect: 100-continue" -o told --data-binary @up ${SITE}/echo`)} && ${SAME}`,
    tells: ['"length":4000000', '"how":"length"'],
  })),
  ...both("curl uploads in chunks", (version) => ({
    script: `${UPLOAD} > sum && cat up | ${curl(version, `-o told -T - ${SITE}/echo`)} && ${SAME}`,
    tells: ['"length":4000000', '"how":"chunked"'],
  })),
  ...both("curl is answered before it has sent everything", (version) => ({
    script: `${UPLOAD} > sum; curl -sS -m 600 -H "Authorization: Bearer $TOKEN" --http${version} -H Expect: -T up -w ' %{http_code}\\n' ${SITE}/early`,
    tells: ["too large\n 413"],
  })),
  ...both("curl follows events as they come", (version) => ({
    script: `${curl(version, `-N ${SITE}/events`)} | while read -r line; do [ "$line" ] && echo "$(date +%s%N) $line"; done | awk '{print} NR==1{a=$1} END{exit !(NR==5 && $1-a > 600000000)}'`,
    tells: ["data: 0", "data: 4"],
  })),
  ...both("curl waits for a late answer", (version) => ({
    script: curl(version, `${SITE}/poll`),
    tells: ["late"],
  })),
  ...both("curl asks for a head, and for what is not there", (version) => ({
    script: `${curl(version, `-I ${SITE}/put.bin`)} && ! ${curl(version, `${SITE}/nothing`)}`,
    tells: [/content-length: 4000000/i, "404"],
  })),
  ...both("curl gets trailers", (version) => ({
    script: curl(version, `-i -H "TE: trailers" ${SITE}/echo`),
    tells: version === "2" ? [/x-end: of it/] : [/"version"/],
  })),
  [
    "wget downloads",
    {
      script: `wget -q -O big --header "Authorization: Bearer $TOKEN" ${SITE}/big && ${BIG} && echo whole`,
      tells: ["whole"],
    },
  ],
  [
    "git clones, fetches and pushes",
    {
      script: [
        `git clone -q ${WHO}/git/repo.git one`,
        "cd one",
        "git config user.name me; git config user.email me@shop.test",
        "git checkout -q -b b$RANDOM$RANDOM",
        "head -c 3000000 /dev/urandom > new.bin",
        "git add new.bin && git commit -q -m new",
        "git push -q origin HEAD",
        `git clone -q --depth 1 ${WHO}/git/repo.git ../two`,
        "cd ../two && git fetch -q --unshallow && git log --oneline | wc -l",
        "cd ../one && git ls-remote origin HEAD",
      ].join(" && "),
      tells: [/^41$/m, /HEAD$/m],
    },
  ],
  [
    "git with its credentials in a header",
    {
      script: `git -c http.extraHeader="Authorization: Bearer $TOKEN" clone -q --mirror ${SITE}/git/repo.git m && git -C m rev-list --count HEAD`,
      tells: [/^41$/m],
    },
  ],
  [
    "pip installs",
    {
      script: `pip --retries 0 install -q --disable-pip-version-check --no-cache-dir --target t --index-url ${WHO}/simple/ thing && PYTHONPATH=t python3 -c "import thing; print(thing.hello)"`,
      tells: ["hello"],
    },
  ],
  [
    "npm installs and publishes",
    {
      script: [
        `echo '//shop.test/npm/:_authToken=\${TOKEN}' > .npmrc`,
        `echo 'registry=${SITE}/npm/' >> .npmrc`,
        "echo 'audit=false\nfetch-retries=0\nfund=false\nupdate-notifier=false' >> .npmrc",
        "mkdir p && cd p && cp ../.npmrc . && npm init -y > /dev/null",
        "npm install --silent thing && node -p 'require(\"thing\")'",
        "npm publish --silent --provenance=false",
      ].join(" && "),
      tells: ["hello"],
    },
  ],
  ...(["https", "http"] as const).map((scheme): [string, Client] => [
    `apt downloads over ${scheme}`,
    {
      script: [
        "mkdir -p e/auth.conf.d e/preferences.d s/lists/partial c/archives/partial",
        `curl -sS --fail -o key.asc ${SITE}/open/debian/key.asc`,
        `echo "deb [signed-by=$PWD/key.asc arch=amd64] ${scheme}://shop.test/debian test main" > e/sources.list`,
        `echo "machine ${scheme}://shop.test login me password ${scheme === "https" ? "$TOKEN" : "nothing"}" > e/auth.conf`,
        "touch status",
        'O="-o Dir::Etc=$PWD/e -o Dir::State=$PWD/s -o Dir::Cache=$PWD/c -o Dir::State::status=$PWD/status -o APT::Architecture=amd64 -o APT::Sandbox::User=root -o APT::Update::Error-Mode=any -o Acquire::Retries=0"',
        "apt-get $O update && apt-get $O download thing && dpkg-deb --info thing*.deb",
      ].join(" && "),
      tells: ["Package: thing"],
      isOpen: scheme === "http",
    },
  ]),
  [
    "Node's fetch",
    {
      script: `node -e '
      const headers = { authorization: "Bearer " + process.env.TOKEN };
      const body = new Uint8Array(2_000_000);
      (async () => {
        for (const options of [{}, { method: "POST", body }, { method: "POST", duplex: "half", body: new Blob([body]).stream() }]) {
          const response = await fetch("${SITE}/echo", { headers, ...options });
          console.log(response.status, await response.text());
        }
      })().catch((error) => { console.error(error); process.exit(1); });'`,
      tells: [
        /200 .*"length":0/,
        /200 .*"length":2000000,"how":"length"/,
        /200 .*"length":2000000,"how":"chunked"/,
      ],
    },
  ],
  [
    "Node's HTTP/2, many streams and trailers",
    {
      script: `node -e '
      const session = require("node:http2").connect("${SITE}");
      session.on("error", (error) => { console.error(error); process.exit(1); });
      const ask = (size) => new Promise((resolve, reject) => {
        const stream = session.request({ ":path": "/echo", ":method": "POST", te: "trailers", authorization: "Bearer " + process.env.TOKEN }, { waitForTrailers: true });
        let text = "";
        stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "7" }));
        stream.on("trailers", (trailers) => { text += trailers["x-end"]; });
        stream.on("data", (chunk) => { text += chunk; }).on("error", reject).on("close", () => resolve(text));
        stream.end(Buffer.alloc(size));
      });
      (async () => {
        const all = await Promise.all(Array.from({ length: 60 }, (_, at) => ask(at * 5000)));
        console.log(all.filter((text, at) => text.includes("\\"length\\":" + at * 5000 + ",") && text.includes("of it")).length, all[1]);
        session.close();
      })().catch((error) => { console.error(error); process.exit(1); });'`,
      tells: [/^60 /m, '"x-sum":"7"'],
    },
  ],
  [
    "requests of Python",
    {
      script: `python3 -c '
import os, requests
session = requests.Session()
session.headers["Authorization"] = "Bearer " + os.environ["TOKEN"]
print(session.get("${SITE}/echo").json()["version"])
print(session.post("${SITE}/echo", data=(b"x" * 1000 for _ in range(1000))).json())
print(session.post("${SITE}/echo", data=b"x" * 3000000, auth=("me", os.environ["TOKEN"])).json())
print(len(session.get("${SITE}/big").content))'`,
      tells: ["1.1", "'length': 1000000", "'length': 3000000", "20000000"],
    },
  ],
  [
    "urllib of Python",
    {
      script: `python3 -c '
import os, urllib.request
request = urllib.request.Request("${SITE}/echo", headers={"Authorization": "Bearer " + os.environ["TOKEN"]})
print(urllib.request.urlopen(request).read().decode())'`,
      tells: ['"version":"1.1"'],
    },
  ],
]);
