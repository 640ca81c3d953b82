"""The README's section on running on premise is followed word by word, in four namespaces."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "simulations" / "three_sites" / "by_the_readme.py"
sys.path.insert(0, str(SCRIPT.parent))
sys.path.insert(0, str(ROOT / "simulations"))
from by_the_readme import Step, steps_of  # noqa: E402

SECTION = """
## Run it on premise

```sh
# admin, on the aggregator's machine
fedcc aggregator init hub \\
  --consortium telco  # makes keys
# each site
(umask 077; mkdir lisbon)
```

## Not protected

```sh
rm -rf all
```
"""


def test_the_commands_are_those_of_the_section_with_who_types_them() -> None:
    assert steps_of(SECTION) == [
        Step("admin", "fedcc aggregator init hub    --consortium telco"),
        Step("each site", "(umask 077; mkdir lisbon)"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [("# admin, on", "# on", "nobody is named"), ("```sh", "```", "no commands")],
)
def test_a_section_that_cannot_be_followed_is_refused(old: str, new: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        steps_of(SECTION.replace(old, new))


def follow(readme: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--readme", str(readme), "--rounds", "2"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    if "need four machines" in done.stderr or "needs four machines" in done.stderr:
        pytest.skip(done.stderr.strip()[-200:])
    return done


@pytest.mark.processes
@pytest.mark.timeout(600)
def test_the_section_leads_to_one_model_at_every_site() -> None:
    done = follow(ROOT / "README.md")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "every site has the same model" in done.stdout


@pytest.mark.processes
def test_a_command_that_fails_ends_it_and_is_named(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(SECTION.replace("(umask 077; mkdir lisbon)", "fedcc site init lisbon"))

    done = follow(readme)

    assert done.returncode != 0
    assert "fedcc aggregator init hub" in done.stderr  # the options that it lacks
