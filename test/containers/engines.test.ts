/**
 * Container engines in machines, as their users run them: podman and Docker, in direct mode ("host") and under systemd
 * ("peer"), on Debian's kernel and on the generic one. What each needs of the kernel and of the disk is tried for real.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  type ContainersHost,
  giveEngines,
  kernelsToTry,
  startContainersHost,
} from "#test/containers-host.ts";
import { type Installation, install } from "#test/installation.ts";

/** Emulated, on a busy host, an engine takes minutes to start, and a command half a minute. */
setDefaultTimeout(60 * 60_000);

const SIZE = ["--memory", "2G", "--disk", "8G"];
const DOCKERFILE = `FROM localhost/bb
COPY page /www/index.html
RUN echo built >>/www/index.html && test -e /proc/self/ns/net
CMD ["httpd", "-f", "-p", "80", "-h", "/www"]
`;
const SERVICES = `services:
  web:
    image: localhost/site
    ports: ["8083:80"]
  client:
    image: localhost/bb
    command: ["sh", "-c", "until wget -qO- http://web/; do sleep 1; done"]
`;
const COMPOSE = "cd /srv/site && COMPOSE_HTTP_TIMEOUT=900 docker-compose";
const RULESET = `table inet lab {
  set seen { type ipv4_addr; flags dynamic,timeout; timeout 1m; }
  chain input {
    type filter hook input priority 0; policy accept;
    ct state established,related counter accept
    ip protocol icmp add @seen { ip saddr } counter
    ip protocol icmp limit rate 10/second counter accept
    tcp dport { 22, 80, 8000-8100 } counter accept
  }
  chain post {
    type nat hook postrouting priority srcnat;
    ip saddr 10.99.0.0/16 counter masquerade
  }
}
`;

let banger: Installation;

beforeAll(async () => {
  banger = install();
  await giveEngines(banger);
});
afterAll(() => banger?.[Symbol.asyncDispose]());

describe.each(kernelsToTry())("%s", (kernel) => {
  let host: ContainersHost;
  let peer: ContainersHost;

  beforeAll(async () => {
    const ports = ["8081", "8082", "8083"].flatMap((port) => ["-p", `127.0.0.1:0:${port}`]);
    host = await startContainersHost(banger, {
      name: "host",
      kernel,
      options: ["--mode", "direct", ...SIZE, ...ports],
    });
    await host.ok(`mkdir -p /srv/site; cd /srv/site; echo page >page
      cat >Dockerfile <<'EOF'\n${DOCKERFILE}EOF
      cat >compose.yaml <<'EOF'\n${SERVICES}EOF`);
  });
  afterAll(async () => {
    // A filtered run has no peer.
    for (const name of ["host", "peer"])
      await banger.ok("vm", "rm", "--force", name).catch(() => {});
  });

  /** From the host, through the machine's port, once somebody listens behind it. */
  async function fetched(port: number, machine = host): Promise<string> {
    const { network } = await machine.vm();
    const published = network.ports?.find(({ guestPort }) => guestPort === port);
    for (;;) {
      const asked = fetch(`http://127.0.0.1:${published?.hostPort}/`);
      const response = await asked.catch(() => undefined);
      if (response) return await response.text();
      await Bun.sleep(200);
    }
  }

  const startDocker = async () => {
    // As Docker's unit does: on a slow host, dockerd gives up on a containerd that it starts itself.
    const socket = "/run/containerd/containerd.sock";
    await host.ok("setsid containerd >/var/log/containerd.log 2>&1 &");
    await host.ok(`until ctr -a ${socket} version >/dev/null 2>&1; do sleep 2; done`);
    await host.ok(`setsid dockerd --containerd ${socket} >/var/log/dockerd.log 2>&1 &`);
    await host.ok("until curl -sf --unix-socket /run/docker.sock http://d/_ping; do sleep 2; done");
  };

  describe("podman", () => {
    test("loads an image into overlays on the machine's own disk", async () => {
      await host.ok("podman load -i /srv/bb.tar && podman tag bb localhost/bb");
      const format = `{{.Store.GraphDriverName}} {{index .Store.GraphStatus "Backing Filesystem"}} {{index .Store.GraphStatus "Native Overlay Diff"}}`;
      expect(await host.ok(`podman info --format '${format}'`)).toBe("overlay extfs true\n");
      const root = "podman run --rm localhost/bb grep ' / ' /proc/mounts";
      expect(await host.ok(root)).toStartWith("overlay ");
    });

    test("builds a Dockerfile, and publishes a port that the machine publishes", async () => {
      await host.ok("cd /srv/site && podman build -t localhost/site .");
      await host.ok("podman run -d --name web -p 8081:80 localhost/site");
      expect(await fetched(8081)).toBe("page\nbuilt\n");
      expect(await host.ok("podman exec web cat /proc/1/comm")).toBe("httpd\n");
    });

    test("resolves names on a network of its own", async () => {
      await host.ok(
        "podman network create inner && podman run -d --net inner --name named localhost/site",
      );
      const run = "podman run --rm --net inner localhost/bb wget -qO- http://named/";
      expect(await host.ok(run)).toBe("page\nbuilt\n");
    });

    test("limits memory and processes", async () => {
      const show = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max";
      const run = `podman run --rm --memory 64m --pids-limit 50 localhost/bb sh -c '${show}'`;
      expect(await host.ok(run)).toBe(`${64 * 2 ** 20}\n50\n`);
    });
  });

  describe("docker", () => {
    beforeAll(async () => {
      await host.ok("podman rm -f -t 0 -a; podman network rm -f inner");
      await startDocker();
    });

    test("loads an image into overlays on the machine's own disk", async () => {
      await host.ok("docker load -i /srv/bb.tar && docker tag bb localhost/bb");
      const format = "{{.Driver}} {{(index .DriverStatus 0)}} {{.CgroupDriver}} {{.CgroupVersion}}";
      expect(await host.ok(`docker info --format '${format}'`)).toBe(
        "overlay2 [Backing Filesystem extfs] cgroupfs 2\n",
      );
    });

    test("builds a Dockerfile, and publishes a port that the machine publishes", async () => {
      await host.ok("cd /srv/site && docker build -t localhost/site .");
      await host.ok("docker run -d --name web -p 8082:80 localhost/site");
      expect(await fetched(8082)).toBe("page\nbuilt\n");
      expect(await host.ok("docker exec web cat /proc/1/comm")).toBe("httpd\n");
    });

    test("limits memory and processes", async () => {
      const show = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max";
      const run = `docker run --rm --memory 64m --pids-limit 50 localhost/bb sh -c '${show}'`;
      expect(await host.ok(run)).toBe(`${64 * 2 ** 20}\n50\n`);
    });

    test("resolves names on a network of its own", async () => {
      await host.ok(
        "docker network create inner && docker run -d --net inner --name named localhost/site",
      );
      const run = "docker run --rm --net inner localhost/bb wget -qO- http://named/";
      expect(await host.ok(run)).toBe("page\nbuilt\n");
      await host.ok("docker rm -f named && docker network rm inner");
    });

    test("compose starts services that find each other", async () => {
      await host.ok(`${COMPOSE} up -d`);
      expect(await fetched(8083)).toBe("page\nbuilt\n");
      const wait = "docker wait $(docker ps -aqf label=com.docker.compose.service=client)";
      expect(await host.ok(`${wait}; ${COMPOSE} logs --no-color client`)).toContain("built");
      await host.ok(`${COMPOSE} down -t 0`);
    });
  });

  test("an nftables ruleset, iptables over nftables, connection tracking and bridges' packets", async () => {
    await host.ok(`nft -f - <<'EOF'\n${RULESET}EOF`);
    await host.ok("ping -c 1 -W 60 127.0.0.1");
    const rules = await host.ok("nft list table inet lab");
    expect(rules).toContain("masquerade");
    expect(rules).toMatch(/elements = \{ 127\.0\.0\.1 /);
    expect(await host.ok("iptables -V")).toContain("nf_tables");
    await host.ok(`iptables -t nat -A POSTROUTING -s 10.98.0.0/16 ! -o lo -m comment --comment lab -j MASQUERADE
      iptables -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -m addrtype --dst-type LOCAL -j ACCEPT
      iptables -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
      iptables -A INPUT -m statistic --mode random --probability 0.5 -m mark --mark 0x4000/0x4000 -j ACCEPT
      ip6tables -t nat -A POSTROUTING -s fd00::/64 -j MASQUERADE`);
    await host.ok("conntrack -L >/dev/null; test -e /proc/sys/net/netfilter/nf_conntrack_max");
    // As k3s and its flannel do.
    await host.ok(`modprobe br_netfilter || true; echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
      ip link add flannel.1 type vxlan id 1 local 127.0.0.1 dstport 8472; ip link del flannel.1`);
    const controllers = (await host.ok("cat /sys/fs/cgroup/cgroup.controllers")).trim().split(" ");
    expect(controllers).toEqual(expect.arrayContaining(["cpu", "cpuset", "io", "memory", "pids"]));
    await host.ok("nft delete table inet lab");
  });

  test("mounts of FUSE, btrfs, ext4 and xfs", async () => {
    await host.ok(
      "mksquashfs /srv/site /tmp/s.squashfs -quiet -no-progress && mkdir -p /mnt/fuse && squashfuse /tmp/s.squashfs /mnt/fuse",
    );
    expect(
      await host.ok("cat /mnt/fuse/page; findmnt -no FSTYPE /mnt/fuse; umount /mnt/fuse"),
    ).toBe("page\nfuse.squashfuse\n");
    for (const type of ["btrfs", "ext4", "xfs"]) {
      await host.ok(
        `truncate -s 400M /var/tmp/${type}.img && mkfs.${type} -q /var/tmp/${type}.img && mkdir -p /mnt/${type} && mount -o loop /var/tmp/${type}.img /mnt/${type}`,
      );
      const use = `echo kept >/mnt/${type}/file; sync; stat -f -c %T /mnt/${type}; umount /mnt/${type}; mount -o loop /var/tmp/${type}.img /mnt/${type}; cat /mnt/${type}/file; umount /mnt/${type}`;
      const shown = type === "ext4" ? "ext2/ext3" : type;
      expect(await host.ok(use)).toBe(`${shown}\nkept\n`);
    }
  });

  describe("a machine with systemd", () => {
    beforeAll(async () => {
      const options = [...SIZE, "-p", "127.0.0.1:0:8084"];
      peer = await startContainersHost(banger, { name: "peer", kernel, options });
    });

    test("starts Docker, which limits containers by systemd", async () => {
      await peer.ok("until systemctl is-active docker; do sleep 2; done");
      await peer.ok("docker load -i /srv/bb.tar && docker tag bb localhost/bb");
      const format = "{{.Driver}} {{.CgroupDriver}} {{.CgroupVersion}}";
      expect(await peer.ok(`docker info --format '${format}'`)).toBe("overlay2 systemd 2\n");
      const show = "cat /sys/fs/cgroup/memory.max";
      const run = `docker run --rm --memory 64m localhost/bb ${show}`;
      expect(await peer.ok(run)).toBe(`${64 * 2 ** 20}\n`);
      await peer.ok("mkdir /srv/site && echo peer >/srv/site/index.html");
      const serve = "httpd -f -p 80 -h /www";
      await peer.ok(`docker run -d -p 8084:80 -v /srv/site:/www localhost/bb ${serve}`);
      expect(await fetched(8084, peer)).toBe("peer\n");
    });

    test("runs podman, which limits containers by systemd", async () => {
      await peer.ok("podman load -i /srv/bb.tar && podman tag bb localhost/bb");
      const format = "{{.Store.GraphDriverName}} {{.Host.CgroupManager}}";
      expect(await peer.ok(`podman info --format '${format}'`)).toBe("overlay systemd\n");
      const show = "cat /sys/fs/cgroup/memory.max";
      const run = `podman run --rm --memory 64m localhost/bb ${show}`;
      expect(await peer.ok(run)).toBe(`${64 * 2 ** 20}\n`);
    });

    test("is reached by name from containers of another machine", async () => {
      for (const engine of ["podman", "docker"]) {
        const run = `${engine} run --rm localhost/bb wget -qO- http://peer:8084/`;
        expect(await host.ok(run)).toBe("peer\n");
      }
    });

    test("WireGuard between two machines", async () => {
      const sides = [
        { side: host, own: "10.97.0.1", other: "10.97.0.2" },
        { side: peer, own: "10.97.0.2", other: "10.97.0.1" },
      ];
      const keys = await Promise.all(
        sides.map(({ side, own }) =>
          side.ok(`umask 77; wg genkey >/root/key; ip link add wg0 type wireguard
            ip addr add ${own}/24 dev wg0; wg set wg0 listen-port 51820 private-key /root/key; ip link set wg0 up
            wg pubkey </root/key`),
        ),
      );
      const addresses = await Promise.all(
        sides.map(async ({ side }) => (await side.vm()).network.address),
      );
      for (const [index, { side, other }] of sides.entries()) {
        const far = 1 - index;
        await side.ok(
          `wg set wg0 peer ${keys[far]?.trim()} allowed-ips ${other}/32 endpoint ${addresses[far]}:51820`,
        );
      }
      expect(await host.ok("ping -c 3 -W 60 10.97.0.2")).toContain(" 0% packet loss");
      expect(await peer.ok("wg show wg0 latest-handshakes")).toMatch(/\t[1-9]\d+\n/);
    });
  });

  test("docker and podman survive the machine's restart", async () => {
    await host.ok("podman run -d --name kept localhost/site");
    await banger.ok("vm", "stop", "host");
    await banger.ok("vm", "start", "host");
    // In direct mode /run is on the disk, and has what engines noted before the restart.
    await host.ok("cd /run; rm -rf docker docker.* containerd containers crun libpod netns runc");
    await startDocker();
    await host.ok("docker start web");
    expect(await fetched(8082)).toBe("page\nbuilt\n");
    await host.ok("podman start kept");
    expect(await host.ok("podman exec kept cat /www/index.html")).toBe("page\nbuilt\n");
  });
});
