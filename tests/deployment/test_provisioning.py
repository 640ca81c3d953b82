"""From keys to a working set of folders: admission, bundles, rotation, revocation."""

import json
import shutil
from pathlib import Path

import pytest
from deployment.installation import HOST, NOW, UNLOCKER, Installation, install_all, new_hub

from fedcc.crypto.consortium import read_roster
from fedcc.crypto.key_file import read_key
from fedcc.crypto.statements import canonical, fingerprint
from fedcc.deployment.aggregator_setup import admit, renew_certificate, revoke_site
from fedcc.deployment.certificates import check_server
from fedcc.deployment.node_keys import NodeKey
from fedcc.deployment.node_list import admitted_nodes
from fedcc.deployment.requests import read_request, request_file
from fedcc.deployment.site_file import SiteHome
from fedcc.deployment.site_setup import init_site, install, rotate_site
from fedcc.errors import ConfigError, EnvelopeError, FedccError, ProtocolError
from fedcc.federation.service.child import AdmittedKeys
from fedcc.privacy.policy import load_policy


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return install_all(tmp_path_factory.mktemp("built"))


@pytest.fixture
def made(built: Installation, tmp_path: Path) -> Installation:
    return built.copied(tmp_path / "made")


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def admit_again(made: Installation, request: Path) -> None:
    admit(made.hub, made.admin, read_request(request), organisation=None, read_aloud=None, now=NOW)


def take(made: Installation, site: str, bundle: Path | None = None) -> None:
    install(made.sites[site], bundle or made.bundle(site), read_aloud=None, unlock=None, now=NOW)


def rotated(made: Installation, site: str) -> Path:
    folder = made.sites[site]
    return rotate_site(folder, made.identity(site), UNLOCKER, NOW).request


def test_three_sites_come_by_everything_that_they_need(made: Installation) -> None:
    for site in made.sites:
        home = made.home(site)
        assert home.values.site == site and home.values.aggregator.host == HOST
        roster = read_roster(home.roster, home.values.aggregator.admin_fingerprint)
        assert set(roster.identities()) == {"lisbon", "porto", "madrid"}
        assert roster.identities()[site] == read_key(home.identity).public
        server = made.hub.certificate.read_bytes()
        check_server(home.ca.read_bytes(), server, HOST, "server", NOW)
        assert load_policy(home.policy).min_sites >= 3
    assert set(admitted_nodes(made.hub)) == set(made.sites)


def test_no_private_key_is_in_anything_that_is_sent_or_at_the_aggregator(
    made: Installation,
) -> None:
    hub = b"".join(snapshot(made.hub.file.parent).values())
    for site, folder in made.sites.items():
        secret = NodeKey.parse((folder / "node.key").read_bytes(), "x")
        numbers = secret._key.private_numbers().private_value.to_bytes(48, "big")
        identity = made.identity(site).private
        request = (folder / f"{site}.request.json").read_bytes()
        for sent in (hub, request, made.bundle(site).read_bytes()):
            for private in (numbers, identity, secret.private_file.splitlines()[2]):
                assert private not in sent and private.hex().encode() not in sent


def test_private_files_are_for_their_owner_alone(made: Installation) -> None:
    private = [made.hub.admin_key, made.hub.ca_key, made.hub.server_key]
    for site in made.sites:
        private += [made.home(site).node_key, made.home(site).identity]

    assert {path.stat().st_mode & 0o777 for path in private} == {0o600}


def test_without_the_phone_call_nobody_is_admitted(tmp_path: Path) -> None:
    hub = new_hub(tmp_path / "hub")
    made = Installation(hub, {})
    keys = init_site(tmp_path / "lisbon", "lisbon", UNLOCKER, NOW)
    before = snapshot(tmp_path / "hub")

    with pytest.raises(ConfigError, match="nothing was admitted"):
        admit_again(made, keys.request)
    other = init_site(tmp_path / "other", "lisbon", UNLOCKER, NOW)
    with pytest.raises(ProtocolError, match="fingerprint is not that of"):
        admit(
            hub,
            made.admin,
            read_request(keys.request),
            organisation="north",
            read_aloud=fingerprint(other.identity.public),
            now=NOW,
        )

    assert snapshot(tmp_path / "hub") == before


def test_a_known_name_with_another_key_is_not_admitted(made: Installation, tmp_path: Path) -> None:
    thief = init_site(tmp_path / "thief", "lisbon", UNLOCKER, NOW)

    with pytest.raises(ConfigError, match="is in the roster"):
        admit(
            made.hub,
            made.admin,
            read_request(thief.request),
            organisation="north",
            read_aloud=fingerprint(thief.identity.public),
            now=NOW,
        )


def test_two_sites_do_not_share_a_node_key(made: Installation, tmp_path: Path) -> None:
    node = NodeKey.parse((made.sites["porto"] / "node.key").read_bytes(), "x")
    path = tmp_path / "twin.request.json"
    path.write_bytes(request_file(made.identity("lisbon"), node, NOW))

    with pytest.raises(ProtocolError, match="another site has this node key"):
        admit_again(made, path)


def test_a_bundle_is_nothing_without_the_admins_fingerprint(
    made: Installation, tmp_path: Path
) -> None:
    fresh = tmp_path / "fresh"
    shutil.copytree(made.sites["lisbon"] / "identity", fresh / "identity")
    shutil.copy(made.sites["lisbon"] / "node.key", fresh / "node.key")

    with pytest.raises(ConfigError, match="does not vouch for itself"):
        install(fresh, made.bundle("lisbon"), read_aloud=None, unlock=None, now=NOW)
    stranger = new_hub(tmp_path / "stranger").values.admin.fingerprint
    with pytest.raises(ProtocolError, match="fingerprint is not that of"):
        install(fresh, made.bundle("lisbon"), read_aloud=stranger, unlock=None, now=NOW)

    assert not (fresh / "site.yaml").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("host", "evil.example.org"),
        ("port", 9),
        ("site", "porto"),
        ("issued_at", "2020-01-01T00:00:00Z"),
    ],
)
def test_an_altered_bundle_changes_nothing(
    made: Installation, tmp_path: Path, key: str, value: object
) -> None:
    values = {**json.loads(made.bundle("lisbon").read_bytes()), key: value}
    (tmp_path / "b.json").write_bytes(canonical(values))
    before = snapshot(made.sites["lisbon"])

    with pytest.raises(EnvelopeError, match="not signed by the admin"):
        take(made, "lisbon", tmp_path / "b.json")

    assert snapshot(made.sites["lisbon"]) == before


def test_the_bundle_of_another_site_or_admin_is_refused(made: Installation, tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="does not name the keys of this folder"):
        take(made, "lisbon", made.bundle("porto"))
    other = install_all(tmp_path / "other", ("lisbon",))
    with pytest.raises(ProtocolError, match="fingerprint is not that of"):
        take(made, "lisbon", other.bundle("lisbon"))


def test_an_older_bundle_is_refused(made: Installation, tmp_path: Path) -> None:
    kept = tmp_path / "old.json"
    shutil.copy(made.bundle("lisbon"), kept)
    revoke_site(made.hub, made.admin, "porto", NOW)
    take(made, "lisbon")

    with pytest.raises(ProtocolError, match="old roster"):
        take(made, "lisbon", kept)


def test_an_expired_authority_is_not_installed(made: Installation) -> None:
    late = NOW.replace(year=2040)

    with pytest.raises(EnvelopeError, match="valid from"):
        install(made.sites["lisbon"], made.bundle("lisbon"), read_aloud=None, unlock=None, now=late)


def test_a_rotation_replaces_a_sites_keys_and_touches_no_other_site(made: Installation) -> None:
    others = {site: snapshot(made.sites[site]) for site in ("porto", "madrid")}
    nodes = {site: path.read_bytes() for site, path in admitted_nodes(made.hub).items()}
    old, old_node = made.identity("lisbon").public, (made.sites["lisbon"] / "node.key").read_bytes()

    admit_again(made, rotated(made, "lisbon"))
    assert made.identity("lisbon").public == old  # in force until the bundle is here
    take(made, "lisbon")

    assert made.identity("lisbon").public != old
    assert (made.sites["lisbon"] / "node.key").read_bytes() != old_node
    retired = list((made.sites["lisbon"] / "retired").rglob("*.key.json"))
    assert [read_key(path).public for path in retired] == [old]
    assert not (made.sites["lisbon"] / "next").exists()
    after = {site: path.read_bytes() for site, path in admitted_nodes(made.hub).items()}
    assert after["lisbon"] != nodes["lisbon"]
    assert all(after[site] == nodes[site] for site in others)
    assert {site: snapshot(made.sites[site]) for site in others} == others
    for site in others:
        take(made, site)  # and the new roster reaches them without any new key


def test_a_rotation_that_was_not_handed_over_is_refused(made: Installation, tmp_path: Path) -> None:
    request = rotated(made, "lisbon")
    values = json.loads(request.read_bytes())
    new = read_key(made.sites["lisbon"] / "next/identity/lisbon.key.json").unlock(UNLOCKER)
    node = NodeKey.parse((made.sites["lisbon"] / "next/node.key").read_bytes(), "x")
    path = tmp_path / "without.json"
    path.write_bytes(request_file(new, node, NOW))

    assert values["hand_over"] is not None
    with pytest.raises(ConfigError, match="nothing was admitted"):
        admit_again(made, path)


@pytest.mark.parametrize("survives", range(1, 4))
def test_an_installation_that_breaks_off_is_finished_by_the_next(
    made: Installation, monkeypatch: pytest.MonkeyPatch, survives: int
) -> None:
    from fedcc.deployment import site_setup

    admit_again(made, rotated(made, "lisbon"))
    wanted = read_key(made.sites["lisbon"] / "next/identity/lisbon.key.json").public
    moves: list[Path] = []

    def breaking(source: Path, target: Path) -> None:
        if len(moves) == survives:
            raise ConfigError("the power went off")
        moves.append(source)
        source.replace(target)

    with monkeypatch.context() as patch:
        patch.setattr(site_setup, "move_file", breaking)
        with pytest.raises(ConfigError, match="power"):
            take(made, "lisbon")
    take(made, "lisbon")

    assert made.identity("lisbon").public == wanted
    node = NodeKey.parse((made.sites["lisbon"] / "node.key").read_bytes(), "x").public
    assert f"{node}\n" == (made.hub.nodes / "lisbon.pub").read_text()
    assert not (made.sites["lisbon"] / "next").exists()


def test_a_revoked_site_is_out_of_roster_nodes_and_bundles(made: Installation) -> None:
    revoke_site(made.hub, made.admin, "porto", NOW)

    assert set(admitted_nodes(made.hub)) == {"lisbon", "madrid"}
    assert not made.bundle("porto").exists()
    with pytest.raises(FedccError):
        admit_again(made, made.sites["porto"] / "porto.request.json")
    take(made, "lisbon")
    held = read_roster(made.home("lisbon").roster, made.mark)
    assert "porto" not in held.identities()


def test_a_revocation_that_broke_off_is_finished_by_repeating_it(
    made: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedcc.deployment import aggregator_setup

    def breaking(*arguments: object) -> None:
        raise ConfigError("the power went off")

    with monkeypatch.context() as patch:
        patch.setattr(aggregator_setup, "publish", breaking)
        with pytest.raises(ConfigError, match="power"):
            revoke_site(made.hub, made.admin, "porto", NOW)
    with pytest.raises(ProtocolError, match="Repeat the last"):
        admitted_nodes(made.hub)  # nobody is registered from files that disagree
    revoke_site(made.hub, made.admin, "porto", NOW)

    assert set(admitted_nodes(made.hub)) == {"lisbon", "madrid"}


@pytest.mark.parametrize("kind", ["missing", "another", "open"])
def test_a_key_file_that_does_not_open_the_identity_is_refused_at_the_first_bundle(
    made: Installation, tmp_path: Path, kind: str
) -> None:
    fresh, unlock = tmp_path / "fresh", tmp_path / "unlock.key"
    keys = init_site(fresh, "faro", UNLOCKER, NOW)
    mark = fingerprint(keys.identity.public)
    request = read_request(keys.request)
    admit(made.hub, made.admin, request, organisation="west", read_aloud=mark, now=NOW)
    if kind != "missing":
        unlock.write_bytes(bytes(range(1, 33)) if kind == "another" else bytes(range(32)))
        unlock.chmod(0o644 if kind == "open" else 0o600)

    with pytest.raises(FedccError, match="unlock.key|faro.key.json"):
        install(fresh, made.bundle("faro"), read_aloud=made.mark, unlock=unlock, now=NOW)

    assert not (fresh / "site.yaml").exists()


def test_a_key_file_elsewhere_is_written_so_that_it_is_found_from_everywhere(
    made: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh, unlock = tmp_path / "fresh", tmp_path / "etc" / "unlock.key"
    keys = init_site(fresh, "faro", UNLOCKER, NOW)
    mark = fingerprint(keys.identity.public)
    request = read_request(keys.request)
    admit(made.hub, made.admin, request, organisation="west", read_aloud=mark, now=NOW)
    unlock.parent.mkdir()
    unlock.write_bytes(bytes(range(32)))
    unlock.chmod(0o600)
    monkeypatch.chdir(tmp_path)

    named = Path("etc/unlock.key")
    install(fresh, made.bundle("faro"), read_aloud=made.mark, unlock=named, now=NOW)

    home = SiteHome.open(fresh)
    assert home.at(str(home.values.keys.unlock)).read_bytes() == bytes(range(32))


def test_a_new_certificate_needs_nothing_of_the_sites(made: Installation) -> None:
    old = made.hub.certificate.read_bytes()

    renew_certificate(made.hub, made.admin, NOW.replace(year=2027))

    new = made.hub.certificate.read_bytes()
    assert new != old
    trusted = made.home("lisbon").ca.read_bytes()
    check_server(trusted, new, HOST, "server", NOW.replace(year=2028, month=1))


def test_a_key_dropped_into_the_folder_of_nodes_admits_nobody(made: Installation) -> None:
    (made.hub.nodes / "mallory.pub").write_text(f"{NodeKey.create().public}\n")

    with pytest.raises(ProtocolError, match="names no such node"):
        admitted_nodes(made.hub)
    assert set(AdmittedKeys(made.hub)()) == set(made.sites)  # that the SuperLink is fed from


def test_a_copy_that_an_editor_left_keeps_nobody_in(made: Installation) -> None:
    keys = AdmittedKeys(made.hub)
    assert set(keys()) == set(made.sites)
    for name in ("lisbon.pub~", "porto.pub.bak", ".porto.pub.swp", "id_ed25519.pub"):
        (made.hub.nodes / name).write_text("ssh-ed25519 AAAA\n")

    revoke_site(made.hub, made.admin, "porto", NOW)

    assert set(keys()) == {"lisbon", "madrid"}
    assert set(admitted_nodes(made.hub)) == {"lisbon", "madrid"}


def test_who_was_revoked_is_out_even_if_the_power_goes_off_in_the_middle(
    made: Installation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from fedcc.deployment import aggregator_setup

    keys = AdmittedKeys(made.hub)
    keys()

    def breaking(*arguments: object) -> None:
        raise ConfigError("the power went off")

    monkeypatch.setattr(aggregator_setup, "publish", breaking)
    with pytest.raises(ConfigError, match="power"):
        revoke_site(made.hub, made.admin, "porto", NOW)

    assert [set(keys()) for _ in range(3)] == [{"lisbon", "madrid"}] * 3
    assert capsys.readouterr().out.count("Repeat the last") == 1  # said once, not every second
    with pytest.raises(ProtocolError, match="Repeat the last"):
        AdmittedKeys(made.hub)()  # a fresh start waits for a person


def test_a_list_that_was_altered_while_the_superlink_runs_is_said_in_its_log(
    made: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = AdmittedKeys(made.hub)
    keys()
    content = made.hub.node_list.read_bytes()
    made.hub.node_list.write_bytes(content.replace(b'"porto"', b'"mallo"'))

    for _ in range(2):
        with pytest.raises(EnvelopeError):
            keys()

    assert capsys.readouterr().out.count('"refused"') == 1


def test_a_node_key_that_was_exchanged_is_noticed(made: Installation) -> None:
    (made.hub.nodes / "lisbon.pub").write_text(f"{NodeKey.create().public}\n")

    with pytest.raises(ProtocolError, match="not the key of the signed list"):
        admitted_nodes(made.hub)


def test_a_list_of_nodes_by_somebody_else_is_refused(made: Installation, tmp_path: Path) -> None:
    other = install_all(tmp_path / "other")
    shutil.copy(other.hub.node_list, made.hub.node_list)

    with pytest.raises(ProtocolError, match="fingerprint is not that of"):
        admitted_nodes(made.hub)


def test_nothing_that_exists_is_overwritten(made: Installation) -> None:
    before = snapshot(made.sites["lisbon"])

    with pytest.raises(ConfigError, match="exists"):
        init_site(made.sites["lisbon"], "lisbon", UNLOCKER, NOW)
    with pytest.raises(ConfigError, match="has one"):
        init_site(made.sites["lisbon"], "porto", UNLOCKER, NOW)
    with pytest.raises(ConfigError, match="made once"):
        new_hub(made.hub.file.parent)

    assert snapshot(made.sites["lisbon"]) == before


def test_a_second_rotation_waits_for_the_first(made: Installation) -> None:
    rotated(made, "lisbon")

    with pytest.raises(ConfigError, match="not finished"):
        rotated(made, "lisbon")


def test_the_sites_own_settings_survive_a_new_bundle(made: Installation) -> None:
    file = made.home("lisbon").file
    edited = file.read_text().replace("tasks: [churn, intent]", "tasks: [churn]")
    file.write_text(edited)

    take(made, "lisbon")

    assert file.read_text() == edited


def test_what_the_second_bundle_cannot_change_is_refused(made: Installation) -> None:
    with pytest.raises(ConfigError, match="edit keys.unlock"):
        install(
            made.sites["lisbon"],
            made.bundle("lisbon"),
            read_aloud=None,
            unlock=Path("other"),
            now=NOW,
        )


def test_an_organisation_does_not_change_on_the_way(made: Installation) -> None:
    request = read_request(made.sites["lisbon"] / "lisbon.request.json")

    with pytest.raises(ConfigError, match="belongs to north"):
        admit(made.hub, made.admin, request, organisation="east", read_aloud=None, now=NOW)
