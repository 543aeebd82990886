"""`twostep release list|show|verify|rollback|gc|keys`: inspect and manage releases."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UsageError
from core.printable import printable
from pipeline.commands.arguments import add_place

if TYPE_CHECKING:
    from core.release.store import ReleaseStore
    from pipeline.commands.release_source import Source


def add_arguments(subparsers: Any) -> None:
    """Add the command `release` with its subcommands."""
    parser = subparsers.add_parser("release", help="list, show, verify, roll back or delete releases")
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, function, takes_version, text in (
        ("list", _list, None, "list the releases, newest first"),
        ("show", _show, "the version; by default the release in force", "show the content of a release"),
        ("verify", _verify, "the version; by default the release in force", "check every file of a release"),
        (
            "rollback",
            _rollback,
            "the version; by default the release that was in force before the current one",
            "put another release in force",
        ),
        ("gc", _gc, None, "delete old releases and the pushed models that belong to no remaining release"),
    ):
        action = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        add_place(action, "config", "the configuration, or the folder or URI of the releases")
        if takes_version:
            action.add_argument("version", metavar="VERSION", nargs="?", help=takes_version)
        action.add_argument("--json", action="store_true", help="print JSON")
        action.set_defaults(func=function)
        if function is _gc:
            action.add_argument(
                "--keep", metavar="N", type=int, help="the number of releases to keep; by default `release.keep`"
            )
            action.add_argument(
                "--dry-run", action="store_true", help="print what would be deleted, and delete nothing"
            )
    keys = actions.add_parser("keys", help="make a pair of keys to sign releases", description=_KEYS)
    keys.add_argument("folder", metavar="FOLDER", type=Path, help="the folder to write both key files to")
    keys.set_defaults(func=_keys)


_KEYS = "Write an Ed25519 private key for `release.signing_key` and its public key for `release.trusted_keys`."


def _keys(arguments: argparse.Namespace) -> int:
    """Make a pair of keys and print their files."""
    from core.release import signing

    private, public = signing.make_keys(arguments.folder)
    print(f"{private}  the private key; only the pipeline should be able to read it\n{public}  the public key")
    return 0


def _source(arguments: argparse.Namespace) -> "Source":
    """Return the source of releases of the argument CONFIG."""
    from pipeline.commands import release_source

    return release_source.find(arguments.config)


def _store(source: "Source") -> "ReleaseStore":
    """Return the store of a source. Raises: UsageError if the folder or URI of one release was given."""
    from core.release import store

    if store.is_release(source.location):
        raise UsageError(f"{source.location} is the folder of one release. Give its parent, the folder of the releases")
    return store.open_store(source.location)


def _list(arguments: argparse.Namespace) -> int:
    """Print the versions of the releases."""
    store = _store(_source(arguments))
    now, known = store.current(), store.versions()
    if arguments.json:
        print(json.dumps({"current": now, "versions": known}, indent=2))
    elif known:
        marks = {now: "  in force", next(iter(store.earlier()), None): "  in force before"}
        print("\n".join(f"{version}{marks.get(version, '')}" for version in known))
    else:
        print(f"{store.location}: there is no release yet; `twostep run` makes one")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    """Print the content of the manifest of a release."""
    source = _source(arguments)
    store = _store(source)
    manifest = store.manifest(arguments.version, source.trusted)
    if arguments.json:
        print(json.dumps(manifest, indent=2, sort_keys=True))
        return 0
    in_force = manifest["version"] == store.current()
    size = sum(file["size"] for file in manifest["files"].values())
    shown = {
        "version": manifest["version"] + (" (in force)" if in_force else ""),
        "created": manifest["created"],
        "folder": store.address(manifest["version"]),
        "content digest": manifest["content_digest"],
        "files": f"{len(manifest['files']):,}, {size:,} bytes",
        "signed": "yes" if "signature" in manifest else "no",
        **manifest["facts"],
    }
    print("\n".join(_lines(shown)))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    """Verify a release and print the result."""
    source = _source(arguments)
    store = _store(source)
    store.verify(arguments.version, source.trusted)
    manifest = store.manifest(arguments.version, source.trusted)
    if arguments.json:
        print(json.dumps({"version": manifest["version"], "files": len(manifest["files"]), "intact": True}, indent=2))
    else:
        print(f"release {manifest['version']} is intact: {len(manifest['files']):,} files match the manifest")
    return 0


def _rollback(arguments: argparse.Namespace) -> int:
    """Put another release in force and print it."""
    source = _source(arguments)
    store = _store(source)
    before = store.current() if arguments.version is None else None
    now = store.rollback(arguments.version, source.trusted)
    if arguments.json:
        print(json.dumps({"current": now}, indent=2))
    else:
        print(f"release {now} is in force" + (f" instead of {before}" if before else ""))
    return 0


def _gc(arguments: argparse.Namespace) -> int:
    """Delete old releases and print them."""
    from pipeline.config import paths
    from pipeline.config.model import Release

    source = _source(arguments)
    store, serving, keep = _store(source), None, Release().keep
    if source.config is not None:
        serving, keep = paths.serving_folder(source.config), source.config.release.keep
    if arguments.keep is not None:
        keep = arguments.keep
    known = store.versions()
    deleted = store.collect(keep, serving, arguments.dry_run)
    left = [version for version in known if store.address(version) not in deleted]
    if arguments.json:
        print(json.dumps({"deleted": deleted, "left": left, "dry_run": arguments.dry_run}, indent=2))
        return 0
    verb, kept = ("would delete", "would be kept") if arguments.dry_run else ("deleted", "kept")
    print("\n".join([*(f"{verb} {path}" for path in deleted), f"{len(left):,} of {len(known):,} releases {kept}"]))
    return 0


def _lines(values: dict[str, Any], indent: str = "") -> Iterator[str]:
    """Yield one line per scalar value, then the name of each mapping with the lines of its values indented below."""
    width = max((len(key) for key, value in values.items() if not isinstance(value, dict)), default=0)
    for key, value in sorted(values.items(), key=lambda item: isinstance(item[1], dict)):
        if isinstance(value, dict):
            yield printable(f"{indent}{key.replace('_', ' ')}")
            yield from _lines(value, indent + "  ")
        else:
            text = f"{value:.6g}" if isinstance(value, float) else str(value)
            yield printable(f"{indent}{key.replace('_', ' '):<{width}}  {text}")
