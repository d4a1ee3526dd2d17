import { describe, expect, test } from "bun:test";
import { modes } from "#ext4/format.ts";
import { build, expectRefusal, listing, listingOf } from "#test/rootfs-build.ts";
import { dir, file, hardLink, symlink } from "#test/tar-build.ts";

describe("layers over each other", () => {
  test("a file replaces a file, and a folder keeps what is in it", async () => {
    const lower = [dir("d", { mode: 0o700 }), file("d/a", "1"), file("d/b", "1")];
    const upper = [dir("d", { mode: 0o750, uid: 5 }), file("d/a", "2")];
    using reader = await build(lower, upper);
    expect(listing(reader)).toEqual({ "/d": "dir", "/d/a": "= 2", "/d/b": "= 1" });
    expect(reader.stat("d")).toMatchObject({ mode: 0o750, uid: 5, links: 2 });
  });

  test("a file replaces a folder, and a folder a file", async () => {
    const lower = [dir("d"), file("d/x"), file("f", "f")];
    const upper = [file("d", "now a file"), dir("f"), file("f/y", "y")];
    expect(await listingOf(lower, upper)).toEqual({
      "/d": "= now a file",
      "/f": "dir",
      "/f/y": "= y",
    });
  });

  test("an entry below a file of a lower layer makes a folder of it", async () => {
    expect(await listingOf([file("a")], [file("a/b", "x")])).toEqual({
      "/a": "dir",
      "/a/b": "= x",
    });
  });

  test("a missing parent is made with mode 755 and no owner; a present one stays as it is", async () => {
    using reader = await build(
      [dir("kept", { mode: 0o711, uid: 7 })],
      [file("kept/x"), file("p/q/r")],
    );
    expect(reader.stat("kept")).toMatchObject({ mode: 0o711, uid: 7 });
    expect(reader.stat("p/q")).toMatchObject({ mode: 0o755, uid: 0, gid: 0, links: 2 });
    expect(reader.stat("p")).toMatchObject({ links: 3 });
  });

  test("a folder that its own layer replaces takes nothing of what comes after", async () => {
    const before = [dir("e"), dir("d"), file("d/x")];
    const again = [...before, file("d"), dir("d"), file("d/y", "y")];
    expect(await listingOf(again)).toEqual({ "/d": "dir", "/d/y": "= y", "/e": "dir" });
    const through = [...before, symlink("d", "e"), file("d/y", "y")];
    expect(await listingOf(through)).toEqual({ "/d": "-> e", "/e": "dir", "/e/y": "= y" });
  });

  test("the last of several entries of one name in a layer counts", async () => {
    using reader = await build([file("a", "1"), hardLink("b", "a"), file("a", "22")]);
    expect(listing(reader)).toEqual({ "/a": "= 22", "/b": "= 1" });
    expect(reader.stat("b").links).toBe(1);
  });
});

describe("whiteouts", () => {
  test("remove what lower layers have, files and whole folders", async () => {
    const lower = [file("a"), dir("d"), dir("d/e"), file("d/e/f"), file("keep", "k")];
    expect(await listingOf(lower, [file(".wh.a"), file(".wh.d")])).toEqual({ "/keep": "= k" });
  });

  test("do not touch what their own layer has, wherever they stand", async () => {
    const lower = [dir("d", { mode: 0o700 }), file("d/old"), file("a", "old")];
    const wanted = { "/d": "dir", "/d/new": "= new", "/a": "= new" };
    const marks = [file(".wh.d"), file(".wh.a")];
    const entries = [file("d/new", "new"), file("a", "new")];
    for (const upper of [
      [...marks, ...entries],
      [...entries, ...marks],
    ]) {
      using reader = await build(lower, upper);
      expect(listing(reader)).toEqual(wanted);
      expect(reader.stat("d").mode).toBe(0o755);
    }
  });

  test("an opaque folder keeps its own layer's content alone", async () => {
    const lower = [dir("d", { mode: 0o700 }), file("d/old"), dir("d/s"), file("d/s/old")];
    const mark = file("d/.wh..wh..opq");
    for (const upper of [
      [mark, file("d/new", "n"), file("d/s/new", "n")],
      [file("d/new", "n"), file("d/s/new", "n"), mark],
    ]) {
      using reader = await build(lower, upper);
      expect(listing(reader)).toEqual({
        "/d": "dir",
        "/d/new": "= n",
        "/d/s": "dir",
        "/d/s/new": "= n",
      });
      expect(reader.stat("d").mode).toBe(0o700);
    }
  });

  test("of nothing do nothing, and a name may come back in a later layer", async () => {
    const layers = [
      [file(".wh.none"), file("x/.wh.none")],
      [file("a", "1")],
      [file(".wh.a")],
      [file("a", "2")],
    ];
    expect(await listingOf(...layers)).toEqual({ "/a": "= 2" });
  });

  test("AUFS bookkeeping is left out", async () => {
    const marks = [dir(".wh..wh.plnk"), file(".wh..wh.aufs"), file("a", "a")];
    expect(await listingOf(marks)).toEqual({ "/a": "= a" });
  });
});

describe("links", () => {
  test("a hard link to a file of a lower layer shares its inode", async () => {
    using reader = await build([file("a", "A")], [hardLink("b", "a"), hardLink("d/c", "./a")]);
    expect(reader.stat("a")).toMatchObject({ links: 3, inode: reader.stat("d/c").inode });
    expect(listing(reader)["/b"]).toBe("= A");
  });

  test("a hard link keeps its file when the other name goes or is replaced", async () => {
    const lower = [file("a", "A"), file("x", "X")];
    const upper = [hardLink("b", "a"), file(".wh.a"), hardLink("y", "/x"), file("x", "new")];
    using reader = await build(lower, upper);
    expect(listing(reader)).toEqual({ "/b": "= A", "/y": "= X", "/x": "= new" });
    expect(reader.stat("b").links).toBe(1);
  });

  test("a hard link to itself, to a symbolic link and to a name long gone", async () => {
    expect(await listingOf([file("a", "A")], [hardLink("a", "a")])).toEqual({ "/a": "= A" });
    expect(await listingOf([symlink("s", "t"), hardLink("r", "s")])).toEqual({
      "/s": "-> t",
      "/r": "-> t",
    });
    await expectRefusal(
      [[file("a")], [file(".wh.a")], [hardLink("b", "a")]],
      "integrity",
      /"b".*"a"/,
    );
  });

  test("a path through symbolic links stays inside the image", async () => {
    const lower = [
      dir("usr"),
      dir("usr/lib"),
      symlink("lib", "usr/lib"),
      symlink("abs", "/usr"),
      symlink("up", "../../.."),
      symlink("gone", "not/there"),
      symlink("usr/back", ".."),
    ];
    const upper = [
      file("lib/a", "1"),
      file("abs/lib/b", "2"),
      file("up/c", "3"),
      file("gone/d", "4"),
      file("usr/back/lib/e", "5"),
      hardLink("f", "abs/lib/a"),
      file("lib/.wh.b"),
    ];
    expect(await listingOf(lower, upper)).toMatchObject({
      "/lib": "-> usr/lib",
      "/usr/lib/a": "= 1",
      "/usr/lib/b": "= 2",
      "/c": "= 3",
      "/not/there/d": "= 4",
      "/usr/lib/e": "= 5",
      "/f": "= 1",
    });
    expect(await listingOf(lower, [file("lib/a")], [file("lib/.wh.a")])).not.toHaveProperty(
      "/usr/lib/a",
    );
  });

  test("symbolic links in a circle are refused", async () => {
    const lower = [symlink("a", "b"), symlink("b", "a")];
    await expectRefusal([lower, [file("a/x")]], "integrity", /"a\/x".*links/);
  });

  test("a folder entry replaces a symbolic link", async () => {
    const lower = [dir("usr"), symlink("lib", "usr")];
    expect(await listingOf(lower, [dir("lib"), file("lib/x", "x")])).toEqual({
      "/usr": "dir",
      "/lib": "dir",
      "/lib/x": "= x",
    });
  });
});

describe("names", () => {
  test('"/" and "./" in front, doubled and at the end make no difference', async () => {
    const specs = [dir("./d"), file("/d//a", "1"), file("./d/./b", "2"), dir("//e/."), dir(".")];
    expect(await listingOf(specs)).toEqual({
      "/d": "dir",
      "/d/a": "= 1",
      "/d/b": "= 2",
      "/e": "dir",
    });
  });

  test("bytes that are no text are kept", async () => {
    using reader = await build([{ name: Uint8Array.of(0x66, 0xff, 0xfe), content: "x" }]);
    expect(reader.list("/")[0]?.name).toEqual(Uint8Array.of(0x66, 0xff, 0xfe));
  });

  test("with .. are cleaned by the words, and stay inside", async () => {
    const layers = [
      [dir("a"), file("a/../b", "1"), file("../../c", "2"), file("/a/./../a/d/../e", "3")],
      [hardLink("f", "a/../../b"), dir("a/.."), file("x/../.wh.c"), dir("../g/")],
    ];
    expect(await listingOf(...layers)).toEqual({
      "/a": "dir",
      "/a/e": "= 3",
      "/b": "= 1",
      "/f": "= 1",
      "/g": "dir",
    });
    await expectRefusal([[file("a/..")]], "integrity", /replaces the root/);
    await expectRefusal([[file("../..")]], "integrity", /replaces the root/);
  });

  test.each([
    [".wh.", /whiteout/],
    [".wh...", /whiteout/],
  ])("%p is refused", async (name, message) => {
    await expectRefusal([[file(name)]], "integrity", message);
  });

  test("a hard link out of the image, to a folder or to nothing is refused", async () => {
    await expectRefusal([[hardLink("a", "../etc/passwd")]], "integrity", /passwd/);
    await expectRefusal([[dir("d"), hardLink("a", "d")]], "integrity", /is a directory/);
    await expectRefusal([[hardLink("a", "b")]], "integrity", /does not exist/);
  });

  test("an entry below a file of the same layer is refused", async () => {
    await expectRefusal([[file("a"), file("a/b")]], "integrity", /"a\/b" is below "a"/);
  });

  test("a component of 255 bytes fits, one of 256 does not", async () => {
    const long = (count: number) => ({ ...file("x"), pax: { path: `d/${"n".repeat(count)}` } });
    expect(Object.keys(await listingOf([long(255)]))).toHaveLength(2);
    await expectRefusal([[long(256)]], "integrity", /more than 255/);
  });
});

describe("what a file is", () => {
  test("mode, owner, time, device and attributes are those of the entry", async () => {
    using reader = await build([
      file("f", "x", { mode: 0o4755, pax: { uid: "3000000000", gid: "4", mtime: "-1.25" } }),
      { name: "c", type: "3", major: 1, minor: 3, mode: 0o666 },
      { name: "b", type: "4", major: 300, minor: 70_000 },
      { name: "p", type: "6", mtime: 2 ** 32 },
      file("x", "x", {
        pax: { "SCHILY.xattr.user.a": Uint8Array.of(0, 61, 10, 255), "SCHILY.xattr.user.b": "" },
      }),
      file("far", "", { pax: { mtime: "20000000000.999999999" } }),
    ]);
    expect(reader.stat("f")).toMatchObject({
      mode: 0o4755,
      uid: 3_000_000_000,
      gid: 4,
      mtime_s: -2,
      mtime_ns: 750_000_000,
      ctime_s: -2,
    });
    expect(reader.stat("c")).toMatchObject({ type: modes.CHARACTER, major: 1, minor: 3 });
    expect(reader.stat("b")).toMatchObject({ type: modes.BLOCK, major: 300, minor: 70_000 });
    expect(reader.stat("p")).toMatchObject({ type: modes.FIFO, mtime_s: 2 ** 32 });
    // ext4 counts to the year 2446.
    expect(reader.stat("far")).toMatchObject({ mtime_s: 2 ** 34 - 2 ** 31 - 1 });
    expect(reader.xattrs(reader.stat("x"))).toEqual([
      { name: Buffer.from("user.a"), value: Uint8Array.of(0, 61, 10, 255) },
      { name: Buffer.from("user.b"), value: new Uint8Array() },
    ]);
  });

  test("the root is what an entry says of it", async () => {
    using reader = await build([{ name: "./", type: "5", mode: 0o711, uid: 3, mtime: 99 }]);
    expect(reader.stat("/")).toMatchObject({ mode: 0o711, uid: 3, mtime_s: 99, links: 2 });
  });

  test("attributes of unknown namespaces are left out, too many are refused by name", async () => {
    const odd = file("f", "x", {
      pax: { "SCHILY.xattr.com.apple.x": "1", "SCHILY.xattr.user.a": "2" },
    });
    using reader = await build([odd]);
    expect(reader.xattrs(reader.stat("f"))).toHaveLength(1);
    const large = file("big", "x", { pax: { "SCHILY.xattr.user.a": "x".repeat(70_000) } });
    await expectRefusal([[large]], "unsupported", /"big"/);
  });
});
