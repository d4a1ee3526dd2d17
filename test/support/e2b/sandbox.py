"""What a user of E2B's Python client does; its watchers and binary transfers differ from the JavaScript one's."""
import asyncio
import os
import time
import urllib.request

from e2b import AsyncSandbox, CommandExitException, NotFoundException, Sandbox, SandboxQuery

TEMPLATE = os.environ.get("TEMPLATE", "busybox")
sbx = Sandbox.create(TEMPLATE, metadata={"from": "python"}, timeout=900)
try:
    ran = sbx.commands.run("echo out; echo err >&2")
    assert (ran.stdout, ran.stderr, ran.exit_code) == ("out\n", "err\n", 0), ran
    try:
        sbx.commands.run("exit 5")
        raise AssertionError("it did not fail")
    except CommandExitException as error:
        assert error.exit_code == 5
    cat = sbx.commands.run("cat", background=True, stdin=True)
    sbx.commands.send_stdin(cat.pid, "in\n")
    sbx.commands.close_stdin(cat.pid)
    assert cat.wait().stdout == "in\n"

    sbx.files.write("/tmp/p/f", "text")
    assert sbx.files.read("/tmp/p/f") == "text"
    assert b"".join(sbx.files.read("/tmp/p/f", format="stream")) == b"text"
    sbx.files.write_files([{"path": "/tmp/p/a", "data": b"1"}, {"path": "/tmp/p/b", "data": "2"}])
    assert sorted(each.name for each in sbx.files.list("/tmp/p")) == ["a", "b", "f"]
    assert sbx.files.make_dir("/tmp/p/d") and not sbx.files.make_dir("/tmp/p/d")
    try:
        sbx.files.read("/nope")
        raise AssertionError("it did not fail")
    except NotFoundException:
        pass
    assert urllib.request.urlopen(sbx.download_url("/tmp/p/f")).read() == b"text"

    watch = sbx.files.watch_dir("/tmp/p")
    sbx.files.write("/tmp/p/new", "1")
    seen = []
    for _ in range(300):
        seen += watch.get_new_events()
        if len(seen) >= 2:
            break
        time.sleep(0.05)
    watch.stop()
    assert [(each.name, each.type.value) for each in seen] == [("new", "create"), ("new", "write")], seen

    assert sbx.get_info().metadata == {"from": "python"} and sbx.is_running()
    listed = Sandbox.list(query=SandboxQuery(metadata={"from": "python"})).next_items()
    assert [each.sandbox_id for each in listed] == [sbx.sandbox_id]

    async def side_by_side():
        other = await AsyncSandbox.connect(sbx.sandbox_id)
        runs = await asyncio.gather(*[other.commands.run(f"echo {n}") for n in range(5)])
        assert [each.stdout for each in runs] == [f"{n}\n" for n in range(5)]

    asyncio.run(side_by_side())
finally:
    assert sbx.kill()
print("done")
