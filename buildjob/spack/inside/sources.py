"""Runs inside Spack's own Python, for `concretize.py`: which sources Spack will never fetch, and why.

Starts no download; asks a remote source mirror only for a file that somebody must have put there by hand. Written for Spack
1.1.
"""

import os

import mirror_access
import spack.caches
import spack.config
import spack.package_base
import spack.util.url
import spack.version


def unfetchable(spec):
    """Why Spack can never get the source of a package that is to be built; "" if it can, or if that cannot be known."""
    try:
        package = spec.package
        if not package.has_code or "dev_path" in spec.variants:
            return ""
        if not package.manual_download:
            return refused(package)
        return by_hand(package)
    except Exception:  # of any kind: a recipe's own code; the build will tell
        return ""


def refused(package):
    """Why Spack will not fetch a version although it could: it asks on a terminal, and there is none."""
    facts = package.versions.get(package.version)
    title = f"{package.name}@{package.version}"
    if facts is None:
        known = isinstance(package.version, spack.version.GitVersion) or not spack.config.get("config:checksum")
        return "" if known else f"the recipe has no checksum of {title}; add one, or set config:checksum:false"
    if facts.get("deprecated", False) and not spack.config.get("config:deprecated"):
        return f"{title} is deprecated; choose another version, or set config:deprecated:true"
    return ""


def by_hand(package):
    """Where the file has to lie that somebody must download; "" if it is there already."""
    for stage in package.stage:
        fetcher, layout = stage.default_fetcher, stage.mirror_layout
        urls = [url for url in getattr(fetcher, "candidate_urls", []) if url.startswith("file://")]
        cache = os.path.join(spack.caches.fetch_cache_location(), layout.path) if layout else ""
        mirrors = [spack.util.url.join(mirror.fetch_url, *layout.path.split(os.sep)) for mirror in stage.mirrors or []]
        if (cache and os.path.exists(cache)) or any(is_there(url) for url in [*urls, *mirrors]):
            continue
        name = os.path.basename(getattr(fetcher, "url", "") or package.name)
        places = [spack.util.url.local_file_path(url) for url in [*urls, *mirrors] if url.startswith("file://")] + [cache]
        digest = getattr(fetcher, "digest", "")
        return "{} {}must be downloaded by hand. Put it at {}. {}".format(
            name,
            f"(checksum {digest}) " if digest else "",
            " or ".join(p for p in places if p),
            instructions(package),
        )
    return ""


def instructions(package):
    """What the recipe says on where to get it; Spack's own sentence needs a homepage."""
    if not package.homepage and type(package).download_instr is spack.package_base.PackageBase.download_instr:
        return f"The recipe of {package.name} does not say where to get it."
    return package.download_instr


def is_there(url):
    if url.startswith("file://"):
        return os.path.exists(spack.util.url.local_file_path(url))
    try:
        mirror_access.request(url, "HEAD")
    except Exception:
        return False
    return True
