"""Processes that live and die together, and what of their output may be logged."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fedcc.errors import ConfigError
from fedcc.federation.service import supervisor
from fedcc.federation.service.settings import service_settings
from fedcc.federation.service.supervisor import Child, Group, Supervisor, only_one

SETTINGS = service_settings()


def child(name: str, code: str, stdin: bytes = b"") -> Child:
    return Child(name, (sys.executable, "-c", code), dict(os.environ), stdin)


def wait_for(what: object, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_childs_own_words_stay_in_a_private_file_and_only_listed_events_are_logged(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    event = json.dumps({"time": "2026-01-01T00:00:00+00:00", "event": "ready", "site": "lisbon"})
    code = f"print('the customer 4711 called'); print({event!r})"
    group = Group([child("site", code)], tmp_path)
    wait_for(lambda: "ready" in group.seen)
    group.end(1.0)

    logged = capfd.readouterr().out
    assert '"site": "lisbon"' in logged
    assert "4711" not in logged
    assert "4711" in (tmp_path / "site.out").read_text()
    assert (tmp_path / "site.out").stat().st_mode & 0o777 == 0o600


def test_a_secret_is_handed_over_on_standard_input_and_stands_in_no_command(tmp_path: Path) -> None:
    code = "import sys; open(sys.argv[1] if len(sys.argv) > 1 else 'got', 'wb')"
    code = f"import sys; open({str(tmp_path / 'got')!r}, 'wb').write(sys.stdin.buffer.read())"
    group = Group([child("site", code, b"the key")], tmp_path)
    wait_for(lambda: group.ended() is not None)

    assert (tmp_path / "got").read_bytes() == b"the key"


def test_when_one_process_ends_the_others_are_ended_and_all_are_started_again(
    tmp_path: Path,
) -> None:
    starts: list[int] = []
    waited: list[int] = []

    def children() -> list[Child]:
        starts.append(1)
        lasting = f"import time; open({str(tmp_path)!r} + '/{len(starts)}', 'w'); time.sleep(60)"
        ending = f"import time; time.sleep({1 if len(starts) == 1 else 60}); raise SystemExit(1)"
        return [child("lasting", lasting), child("ending", ending)]

    supervised = Supervisor(
        children,
        tmp_path,
        SETTINGS,
        lambda: None,
        lambda group: supervised.stop.set() if len(starts) == 2 else None,
        lambda: waited.append(1),
    )
    assert supervised.run() == (0, "")

    assert supervised.restarts == 1
    assert waited  # the watchdog hears of it
    assert (tmp_path / "1").exists()
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert str(tmp_path) not in running


def test_an_end_at_the_start_for_which_a_person_is_needed_is_not_tried_again(
    tmp_path: Path,
) -> None:
    event = {"time": "2026-01-01T00:00:00+00:00", "event": "refused", "reason": "no such key"}
    code = f"import time; print({json.dumps(event)!r}, flush=True); time.sleep(0.5); exit(6)"
    supervised = Supervisor(
        lambda: [child("supernode", code)],
        tmp_path,
        SETTINGS,
        lambda: None,
        lambda group: None,
        lambda: None,
    )

    assert supervised.run() == (6, "no such key")


@pytest.mark.parametrize(("has_worked", "restarts"), [(False, 0), (True, 1)])
def test_a_refusal_after_the_start_is_final_only_if_the_service_never_worked(
    tmp_path: Path, has_worked: bool, restarts: int
) -> None:
    """A site's own process is ready long before the aggregator refuses its node."""
    lines = [
        {"time": "2026-01-01T00:00:00+00:00", "event": "ready"},
        {"time": "2026-01-01T00:00:00+00:00", "event": "refused", "reason": "not admitted"},
    ]
    texts = [json.dumps(line) for line in lines]
    code = f"import time\nfor text in {texts!r}: print(text, flush=True)"
    code += "\ntime.sleep(0.5); raise SystemExit(6)"
    supervised = Supervisor(
        lambda: [child("supernode", code)],
        tmp_path,
        dataclasses.replace(SETTINGS, restart_seconds=0.05),
        lambda: None,
        lambda group: None,
        lambda: supervised.stop.set() if supervised.restarts else None,
        lambda: has_worked,
    )

    assert supervised.run() == ((0, "") if has_worked else (6, "not admitted"))
    assert supervised.restarts == restarts


def test_what_is_stuck_is_started_again(tmp_path: Path) -> None:
    stuck = iter(["asked"])
    supervised = Supervisor(
        lambda: [child("site", "import time; time.sleep(60)")],
        tmp_path,
        SETTINGS,
        lambda: next(stuck, None),
        lambda group: supervised.stop.set() if supervised.restarts else None,
        lambda: None,
    )
    supervised.run()

    assert supervised.restarts == 1


def test_a_folder_has_one_service(tmp_path: Path) -> None:
    with only_one(tmp_path / "alive"):
        with pytest.raises(ConfigError, match="running already"), only_one(tmp_path / "alive"):
            pass
    with only_one(tmp_path / "alive"):
        pass


def test_processes_of_a_service_that_was_killed_end_with_it(tmp_path: Path) -> None:
    source = Path(supervisor.__file__).parents[3]
    ending = (
        "import sys, time, pathlib; sys.path.insert(0, {source!r}); "
        "from fedcc.federation.engines.alive import end_with_holder; "
        "end_with_holder(pathlib.Path({lock!r})); open({mark!r}, 'w').write('x'); time.sleep(60)"
    ).format(source=str(source), lock=str(tmp_path / "alive"), mark=str(tmp_path / "up"))
    service = (
        "import sys, pathlib; sys.path.insert(0, {source!r}); "
        "from fedcc.federation.service.supervisor import *; import os, sys, time\n"
        "with only_one(pathlib.Path({lock!r})):\n"
        "    Group([Child('site', (sys.executable, '-c', {code!r}), dict(os.environ))], "
        "pathlib.Path({folder!r}))\n"
        "    time.sleep(60)\n"
    ).format(source=str(source), lock=str(tmp_path / "alive"), code=ending, folder=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", service], stdout=subprocess.DEVNULL)
    wait_for(lambda: (tmp_path / "up").exists())

    process.send_signal(signal.SIGKILL)
    process.wait()

    def is_gone() -> bool:
        running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
        return str(tmp_path) not in running

    wait_for(is_gone)


def test_a_start_that_fails_for_want_of_room_is_tried_again(tmp_path: Path) -> None:
    starts: list[int] = []

    def children() -> list[Child]:
        starts.append(1)
        if len(starts) < 3:
            raise OSError(28, "No space left on device")
        return [child("site", "import time; time.sleep(60)")]

    seen: list[Group] = []
    supervised = Supervisor(
        children,
        tmp_path,
        dataclasses.replace(SETTINGS, restart_seconds=0.05, stop_seconds=1.0),
        lambda: None,
        seen.append,
        lambda: None,
    )
    thread = threading.Thread(target=supervised.run)
    thread.start()
    wait_for(lambda: seen)
    supervised.stop.set()
    thread.join(20)

    assert len(starts) == 3 and not thread.is_alive()


def test_of_a_start_that_fails_half_way_no_process_is_left(tmp_path: Path) -> None:
    code = f"import time; open({str(tmp_path / 'began')!r}, 'w'); time.sleep(60)"
    missing = Child("runs", (str(tmp_path / "missing"),), {}, b"")
    began = time.monotonic()

    with pytest.raises(FileNotFoundError):
        Group([child("superlink", code), missing], tmp_path)

    assert time.monotonic() - began < 50  # the first one would have lasted for a minute
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_process_whose_words_cannot_be_kept_does_not_wait_for_anybody(tmp_path: Path) -> None:
    (tmp_path / "site.out").mkdir()  # cannot be opened for writing
    group = Group([child("site", "print('x' * 200_000)")], tmp_path)

    wait_for(lambda: group.ended() is not None)

    assert group.ended() == ("site", 0)
