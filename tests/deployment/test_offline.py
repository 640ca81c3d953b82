"""A bundle is complete, says what is in it, and installs without network or not at all."""

import hashlib
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from deployment.toy_wheels import write_wheel

from fedcc.deployment.inventory import licences
from fedcc.deployment.offline import Bundle, make_bundle, write_bundle
from fedcc.deployment.wheels import Wheel, closure, read_wheel
from fedcc.errors import ConfigError, RecordError

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ISOLATED = ("unshare", "--user", "--map-root-user", "--net")


def toy(folder: Path) -> Path:
    """Write the wheels of a root with an extra, one of them under a GPL."""
    wheels = folder / "wheels"
    write_wheel(
        wheels,
        "root",
        requires=["one>=1", 'extra_one; extra == "more"', 'never; python_version<"3"'],
    )
    write_wheel(wheels, "one", requires=["two==2.0"])
    write_wheel(wheels, "two", "2.0", licence="License: GPL-3.0-or-later")
    write_wheel(wheels, "extra_one", licence=None)
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_bundle(toy(tmp_path_factory.mktemp("toy")), "root", ("more",), NOW)


def test_a_wheel_is_read_as_its_own_metadata_says(tmp_path: Path) -> None:
    path = write_wheel(tmp_path, "one", "1.5", requires=["two"], licence="License: BSD\n  text")
    wheel = read_wheel(path)

    assert (wheel.name, wheel.version, wheel.requires) == ("one", "1.5", ("two",))
    assert wheel.licence == "BSD" and not wheel.copyleft
    # Second source: coreutils.
    told = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True)
    assert told.stdout.split()[0] == wheel.sha256


@pytest.mark.parametrize(
    ("line", "licence", "copyleft"),
    [
        ("License-Expression: Apache-2.0", "Apache-2.0", False),
        ("License-Expression: LGPL-3.0-only", "LGPL-3.0-only", True),
        ("Classifier: License :: OSI Approved :: MIT License", "MIT License", False),
        (
            "Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)",
            "GNU General Public License v3 (GPLv3)",
            True,
        ),
        ("License: UNKNOWN", None, False),
    ],
)
def test_licences_are_found_wherever_packages_name_them(
    tmp_path: Path, line: str, licence: str | None, copyleft: bool
) -> None:
    wheel = read_wheel(write_wheel(tmp_path, "one", licence=line))

    assert (wheel.licence, wheel.copyleft) == (licence, copyleft)


def test_what_is_no_wheel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.whl").write_bytes(b"no zip")

    with pytest.raises(RecordError, match="not a readable wheel"):
        read_wheel(tmp_path / "x.whl")


def test_a_closure_follows_extras_and_markers() -> None:
    installed = {
        "a": ("1.0", ("b[x]>=2", 'c; python_version < "3"')),
        "b": ("2.1", ('d; extra == "x"', 'e; extra == "y"')),
        "d": ("0.1", ("a",)),  # a circle
    }

    assert closure(["A"], (), installed) == {"a": "1.0", "b": "2.1", "d": "0.1"}


def test_an_environment_without_the_tested_set_makes_no_bundle() -> None:
    with pytest.raises(ConfigError, match="b>=2 is needed, and 1.0 is installed"):
        closure(["a"], (), {"a": ("1.0", ("b>=2",)), "b": ("1.0", ())})
    with pytest.raises(ConfigError, match="b is needed, and none is installed"):
        closure(["b"], (), {})


def test_a_bundle_that_lacks_a_wheel_is_refused(tmp_path: Path) -> None:
    toy(tmp_path)
    (tmp_path / "wheels" / "two-2.0-py3-none-any.whl").unlink()

    with pytest.raises(ConfigError, match="two==2.0 is needed"):
        write_bundle(tmp_path, "root", ("more",), NOW)


def test_a_bundle_with_two_versions_or_a_needless_wheel_is_refused(tmp_path: Path) -> None:
    toy(tmp_path / "twice")
    write_wheel(tmp_path / "twice" / "wheels", "one", "1.1", requires=["two==2.0"])
    with pytest.raises(ConfigError, match="one is in the bundle twice"):
        write_bundle(tmp_path / "twice", "root", ("more",), NOW)

    toy(tmp_path / "needless")
    with pytest.raises(ConfigError, match="extra-one is in the bundle and nothing needs it"):
        write_bundle(tmp_path / "needless", "root", (), NOW)


def test_the_sums_cover_every_file(bundle: Bundle) -> None:
    lines = (bundle.folder / "SHA256SUMS").read_text().splitlines()
    named = {line.split("  ")[1] for line in lines}

    there = {
        str(path.relative_to(bundle.folder))
        for path in bundle.folder.rglob("*")
        if path.is_file() and path.name != "SHA256SUMS"
    }
    assert named == there
    content = (bundle.folder / "SHA256SUMS").read_bytes()
    assert bundle.sha256 == hashlib.sha256(content).hexdigest()


def test_the_bill_of_materials_names_every_wheel_its_hash_and_what_it_needs(
    bundle: Bundle,
) -> None:
    document = json.loads((bundle.folder / "sbom.cdx.json").read_bytes())

    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    listed = [document["metadata"]["component"], *document["components"]]
    by_purl = {one["purl"]: one for one in listed}
    assert set(by_purl) == {
        "pkg:pypi/root@1.0",
        "pkg:pypi/one@1.0",
        "pkg:pypi/two@2.0",
        "pkg:pypi/extra-one@1.0",
    }
    for wheel in bundle.wheels:
        assert by_purl[wheel.purl]["hashes"] == [{"alg": "SHA-256", "content": wheel.sha256}]
    edges = {one["ref"]: one["dependsOn"] for one in document["dependencies"]}
    assert edges["pkg:pypi/one@1.0"] == ["pkg:pypi/two@2.0"]


def test_licences_that_need_a_look_come_first(bundle: Bundle) -> None:
    lines = licences(bundle.wheels).decode().splitlines()[2:]

    assert lines[0] == "LOOK  extra-one 1.0: not named by the package"
    assert lines[1] == "LOOK  two 2.0: GPL-3.0-or-later"
    assert not any(line.startswith("LOOK") for line in lines[2:])


def test_a_package_url_escapes_a_local_version(bundle: Bundle) -> None:
    wheel = bundle.wheels[0]
    local = Wheel(**{**vars(wheel), "name": "torch", "version": "2.13.0+cpu"})

    assert local.purl == "pkg:pypi/torch@2.13.0%2Bcpu"  # the purl specification's own rule


def install(folder: Path, target: Path, *told: str) -> subprocess.CompletedProcess[str]:
    """Run the script where there is no network, not even loopback."""
    if subprocess.run([*ISOLATED, "true"], capture_output=True).returncode != 0:
        pytest.skip("this machine admits no network namespace to its users")
    command = [*ISOLATED, "sh", str(folder / "install.sh"), str(target), *told]
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": sys.executable, "HOME": str(target.parent)}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_a_bundle_installs_without_any_network(bundle: Bundle, tmp_path: Path) -> None:
    done = install(bundle.folder, tmp_path / "env", bundle.sha256)

    assert done.returncode == 0, done.stderr
    code = "import root, one, two; print(root.NAME, two.NAME)"
    run = [str(tmp_path / "env/bin/python"), "-c", code]
    assert subprocess.check_output(run, text=True) == "root two\n"


def test_a_wheel_that_was_exchanged_is_not_installed(bundle: Bundle, tmp_path: Path) -> None:
    shutil.copytree(bundle.folder, tmp_path / "b")
    write_wheel(tmp_path / "b" / "wheels", "two", "2.0", code="print('owned')\n")

    done = install(tmp_path / "b", tmp_path / "env", bundle.sha256)

    assert done.returncode != 0 and "two-2.0" in done.stderr + done.stdout
    assert not (tmp_path / "env").exists()


def test_a_bundle_whose_sums_were_made_anew_fails_on_the_hash_that_was_told(
    bundle: Bundle, tmp_path: Path
) -> None:
    shutil.copytree(bundle.folder, tmp_path / "b")
    for path in (tmp_path / "b").iterdir():
        if path.is_file():
            path.unlink()
    write_wheel(tmp_path / "b" / "wheels", "two", "2.0", code="print('owned')\n")
    forged = write_bundle(tmp_path / "b", "root", ("more",), NOW)

    done = install(tmp_path / "b", tmp_path / "env", bundle.sha256)

    assert forged.sha256 != bundle.sha256
    assert done.returncode != 0 and not (tmp_path / "env").exists()


def test_a_folder_in_use_and_an_unknown_extra_are_refused(tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    with pytest.raises(ConfigError, match="not empty"):
        make_bundle(tmp_path / "used", tmp_path, (), constraints=None, now=NOW)
    source = write_wheel(tmp_path / "src", "root", requires=['x; extra == "more"'])
    with pytest.raises(ConfigError, match="no extra 'les'; known: more"):
        make_bundle(tmp_path / "new", source, ("les",), constraints=None, now=NOW)
