"""The story of one generation: the environment, the mirrors, what is left out, sizes, the graph, GitLab's pipelines.

Everything that decides is in pure modules; here Spack, git and servers are asked, and their answers handed on.
"""

import datetime
import errno
import json
import os
import time

import spack
import spack.environment
import spack.util.url
import spack.util.web

from . import build_group, changes, ci_section, document, dynamic, graph, matching, pruning, sizes, stack
from .gitlab import limits, names, needs, parts, pipeline, yaml_text
from .mirror import index
from .specs import BadRequest, Broken, FetchFailed, joined, title

TYPES = {
    "spack_copy_only": "COPY_ONLY",
    "spack_protected_branch": "PROTECTED_BRANCH",
    "spack_pull_request": "PULL_REQUEST",
}
LISTED = ("s3://", "gs://", "file://")
"""Schemes whose contents Spack can list."""
UNKNOWN_SECONDS = 60.0
"""What a build without measured time counts for the critical path."""


class Generation:
    """One request being answered; `warnings` grow until the answer is there."""

    def __init__(self, asked, scratch):
        self.asked = asked
        self.variables = asked.variables
        self.warnings = []
        self.found = stack.opened(self.place(scratch), asked.fresh)
        self.mirrors = index.binary_mirrors()
        self.target = index.destination(self.mirrors)
        self.kind = self.pipeline_type()
        self.stack = asked.stack or self.variables.get("SPACK_CI_STACK_NAME", "")
        switch = self.variables.get("SPACK_PRUNE_UP_TO_DATE")
        self.prunes_up_to_date = asked.prune_up_to_date if switch is None else switch.lower() == "true"
        self.there = {}
        if asked.check_mirror:
            self.there, more = index.on_mirrors(self.mirrors, self.target)
            self.warnings += more

    def place(self, scratch):
        """A folder, or a name, with the environment."""
        environment = self.asked.environment
        if environment.endswith(".lock"):
            return from_lock(environment, scratch)
        return environment or unpacked(self.asked.files, scratch)

    def pipeline_type(self):
        given = self.variables.get("SPACK_PIPELINE_TYPE", "")
        kind = TYPES.get(given, given)
        if kind and kind not in TYPES.values():
            self.warnings.append(f"SPACK_PIPELINE_TYPE is {given!r}, which no pipeline is; it is ignored")
            return ""
        return kind

    def answer(self):
        """Files by path, the digest of the graph, counts and warnings."""
        affected = self.affected()
        rules = pruning.Rules(self.prunes_up_to_date, self.asked.prune_externals, self.kind == "COPY_ONLY", affected)
        fates = pruning.fates(self.found.specs, self.there, rules)
        kept = {key for key, fate in fates.items() if fate.state == "build"}
        self.require_unbroken(kept)
        jobs = self.jobs(kept)
        rows = matching.sized(self.found.specs, jobs.specs, self.sources(), self.found.matches)
        self.mark_jobs(jobs)

        wanted = graph.reduced(graph.contracted({key: spec.dependencies for key, spec in self.found.specs.items()}, kept))
        seconds = {
            key: UNKNOWN_SECONDS if row.expected_seconds is None else row.expected_seconds for key, row in rows.items()
        }
        settings = self.settings(rebuilds_everything=not self.prunes_up_to_date and affected is None)
        # gather jobs, and those behind all builds, count too
        extra = 2 + len(needs.gathered(wanted, settings.most_needs - 1, settings.most_needs).gathers)
        settings = settings._replace(room=settings.room._replace(jobs=max(1, settings.room.jobs - extra)))
        plan = pipeline.Plan(self.found.specs, graph.critical_first(wanted, seconds), wanted, jobs)
        made = pipeline.pipelines(plan, settings)
        whole = self.job_graph(fates, plan, made, rows, settings)
        self.require_limits(made, whole["digest"])
        self.create_build_group()
        states = [fate.state for fate in fates.values()]
        return {
            "version": 1,
            "files": self.files(fates, made, whole, settings),
            "stack": settings.stack,
            "digest": whole["digest"],
            "counts": {state: states.count(state) for state in ("build", "pruned", "external", "copy")},
            "pipelines": len(made.documents),
            "warnings": [names.plain(warning) for warning in self.warnings],
        }

    def affected(self):
        """The keys that the last commit may have changed; None if all have to be looked at."""
        switch = self.variables.get("SPACK_PRUNE_UNTOUCHED")
        if not (self.asked.prune_unaffected if switch is None else switch.lower() == "true"):
            return None
        if changes.stack_changed(self.found.manifest_path):
            self.warnings.append("the environment itself changed in the last commit: nothing counts as unaffected")
            return None
        packages = changes.changed_packages()
        if not packages:
            self.warnings.append("no package changed in the last commit: nothing counts as unaffected")
            return None
        depth = self.variables.get("SPACK_PRUNE_UNTOUCHED_DEPENDENT_DEPTH", "")
        try:
            return pruning.affected(self.found.specs, packages, int(depth) if depth else None)
        except ValueError:
            self.warnings.append(f"SPACK_PRUNE_UNTOUCHED_DEPENDENT_DEPTH is {depth!r}, which is no number; it is ignored")
            return pruning.affected(self.found.specs, packages, None)

    def require_unbroken(self, kept):
        """Raise Broken if what is to be built is known to be broken."""
        url = self.found.config.get("broken-specs-url")
        if not url or not kept:
            return
        if "://" in url and not url.startswith(LISTED):
            raise BadRequest(f"ci:broken-specs-url: what {url} has can't be listed; use s3://, gs:// or file://")
        try:
            listed = set(spack.util.web.list_url(url) or ())
        except FileNotFoundError:
            return
        except Exception as error:  # of any kind: botocore's, the file system's
            raise FetchFailed(f"{url}: {index.said(error)}") from error
        broken = sorted(title(self.found.specs[key]) for key in kept & listed)
        if broken:
            shown = joined(broken, 20)
            raise Broken(f"known to be broken, by {url}: {shown}; mend the recipe, or delete its entry there")

    def jobs(self, kept):
        server = dynamic.Server(self.found.specs, self.variables.get("SPACK_CI_SKIP_DYNAMIC_MAPPING", ""))
        ways = ci_section.Specs(self.found.matches, self.found.covers, server.attributes, self.asked.match_order)
        jobs = ci_section.jobs(self.found.config, {key: self.found.variables(key) for key in sorted(kept)}, ways)
        self.warnings += jobs.warnings + server.warnings
        return jobs

    def sources(self):
        content = self.asked.sizes.encode("utf-8")
        if self.asked.sizes_file:
            try:
                with open(self.asked.sizes_file, "rb") as file:
                    content = file.read(sizes.LARGEST_BYTES + 1)
            except OSError as error:
                self.warnings.append(f"{self.asked.sizes_file}: the size table can't be read ({error.strerror})")
        table, warning = sizes.read_table(content) if content else (sizes.NO_TABLE, "")
        self.warnings += [warning] if warning else []
        ci_section.require_chances("matches", self.asked.matches, self.found.covers)
        return matching.Sources(table, self.asked.matches)

    def mark_jobs(self, jobs):
        """Add to the jobs' variables what only Spack's own words say: whether it is there, and its name on CDash."""
        group = self.found.cdash.get("build-group")
        stamp = self.variables.get("SPACK_CDASH_BUILD_STAMP") or time.strftime(
            f"%Y%m%d-%H%M-{group}", time.gmtime(self.created())
        )
        for key, attributes in jobs.specs.items():
            attributes["variables"]["SPACK_SPEC_NEEDS_REBUILD"] = str(key not in self.there)
            if group:
                attributes["variables"]["SPACK_CDASH_BUILD_NAME"] = self.found.cdash_name(key)
                attributes["variables"]["SPACK_CDASH_BUILD_STAMP"] = stamp

    def create_build_group(self):
        token = os.environ.get("SPACK_CDASH_AUTH_TOKEN", "")
        if self.found.cdash.get("build-group") and token:
            warning = build_group.create(self.found.cdash, token)
            self.warnings += [warning] if warning else []
        elif self.found.cdash:
            self.warnings.append("no build group is created on CDash: there is no SPACK_CDASH_AUTH_TOKEN")

    def created(self):
        """When the pipeline that generates was made, in seconds; now if nothing says so."""
        text = self.variables.get("CI_PIPELINE_CREATED_AT", "")
        try:
            if text:
                moment = datetime.datetime.strptime(text[:19] + "+0000", "%Y-%m-%dT%H:%M:%S%z")
                return moment.timestamp()
            return float(self.variables.get("SOURCE_DATE_EPOCH") or time.time())
        except ValueError:
            return time.time()

    def settings(self, *, rebuilds_everything):
        asked, root = self.asked, self.asked.artifacts_root.rstrip("/")
        own, _ = stack.commits()
        shared = {
            "SPACK_ARTIFACTS_ROOT": root,
            "SPACK_CONCRETE_ENV_DIR": root + "/concrete_environment",
            "SPACK_VERSION": spack.get_version(),
            "SPACK_CHECKOUT_VERSION": own,
            "SPACK_JOB_LOG_DIR": root + "/logs",
            "SPACK_JOB_REPRO_DIR": root + "/reproduction",
            "SPACK_JOB_TEST_DIR": root + "/tests",
            # as the jobs compare it, which is not as Spack's generator writes it
            "SPACK_PIPELINE_TYPE": {value: key for key, value in TYPES.items()}.get(self.kind, "None"),
            "SPACK_CI_STACK_NAME": self.stack or "None",
            "SPACK_REBUILD_CHECK_UP_TO_DATE": str(self.prunes_up_to_date),
            "SPACK_REBUILD_EVERYTHING": str(rebuilds_everything),
            "SPACK_REQUIRE_SIGNING": str(self.variables.get("SPACK_REQUIRE_SIGNING", "").lower() == "true"),
        }
        shared.update({name: self.variables[name] for name in asked.forward if name in self.variables})
        return pipeline.Settings(
            stack=self.stack or os.path.basename(os.path.realpath(asked.environment or "stack")),
            pipeline_type=self.kind,
            group=str(self.found.cdash.get("build-group") or ""),
            artifacts_root=root,
            output_folder=asked.output_folder.rstrip("/"),
            generate_job=asked.generate_job or self.variables.get("CI_JOB_NAME") or "generate",
            pipeline_id=asked.pipeline_id,
            mirror_push=self.target.push_url,
            mirror_fetch=self.target.fetch_url,
            mirror_source=next((mirror.fetch_url for mirror in self.mirrors if mirror.name == index.SOURCE), ""),
            rebuild_index=self.found.config.get("rebuild-index", True) is not False,
            variables=shared,
            most_name=asked.max_name,
            most_needs=asked.max_needs,
            room=parts.Room(asked.max_jobs, asked.max_parsed_bytes),
            may_divide=asked.may_divide,
        )

    def job_graph(self, fates, plan, made, rows, settings):
        level = graph.levels({key: spec.dependencies for key, spec in self.found.specs.items()})
        order = sorted(self.found.specs.values(), key=lambda spec: (level[spec.key], spec.name, spec.key))
        own, of_packages = stack.commits()
        made_at = datetime.datetime.fromtimestamp(self.created(), datetime.timezone.utc)
        facts = document.Facts(
            settings.stack, own, of_packages, made_at.strftime("%Y-%m-%dT%H:%M:%SZ"), self.target.fetch_url
        )
        jobs = {
            key: document.Job(
                name=made.names.get(key, ""),
                part=made.parts.get(key, ""),
                needs=plan.needs[key],
                row=rows[key],
                tags=pipeline.tags_of(plan.jobs.specs[key], settings),
                image=image_of(plan.jobs.specs[key].get("image")),
            )
            for key in plan.order
        }
        return document.graph(facts, order, fates, jobs)

    def require_limits(self, made, digest):
        """Write the graph's digest into the pipelines, and raise BadRequest if GitLab would reject one."""
        for each in made.documents.values():
            if "variables" in each:
                each["variables"] = dict(sorted(dict(each["variables"], SPACK_FARM_GRAPH=digest).items()))
        asked = self.asked
        bounds = limits.Limits(asked.max_name, asked.max_needs, asked.max_jobs, asked.max_parsed_bytes)
        faults = limits.faults(made.documents, bounds)
        if faults:
            raise BadRequest("GitLab would reject the pipeline: {}".format("; ".join(faults[:10])))

    def files(self, fates, made, whole, settings):
        root = settings.artifacts_root
        concrete = root + "/concrete_environment/"
        found = {f"{settings.output_folder}/{path}": yaml_text.document(each) for path, each in made.documents.items()}
        found[f"{root}/{document.FILE}"] = document.text(whole)
        found.update({concrete + path: text for path, text in self.asked.files.items()})
        found[concrete + stack.LOCK] = self.found.lock
        if stack.MANIFEST not in self.asked.files:
            project = self.variables.get("CI_PROJECT_DIR") or os.getcwd()
            found[concrete + stack.MANIFEST] = stack.manifest(self.found, os.path.join(project, concrete))
        destination = self.variables.get("SPACK_COPY_BUILDCACHE")
        if destination:
            name = "copy_{}_specs.json".format(names.file_name(self.stack or "rebuilt"))
            copied = self.copies(fates, destination, settings)
            found[f"{root}/specs_to_copy/{name}"] = json.dumps(copied, sort_keys=True)
        return found

    def copies(self, fates, destination, settings):
        """Which binaries are to be copied where: Spack's own manifest."""
        wanted = "copy" if settings.pipeline_type == "COPY_ONLY" else "build"
        return {
            key: {
                "src": manifest_url(settings.mirror_fetch, self.found.specs[key]),
                "dest": manifest_url(destination, self.found.specs[key]),
            }
            for key, fate in fates.items()
            if fate.state == wanted
        }


def unpacked(files, scratch):
    """A folder with the files of a request."""
    folder = os.path.join(scratch, "environment")
    for path, text in files.items():
        place = os.path.join(folder, path)
        try:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with open(place, "w", encoding="utf-8") as file:
                file.write(text)
        except (OSError, ValueError) as error:
            if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE):
                raise FetchFailed(f"the request's files can't be written: {error.strerror}") from error
            shown = names.plain(path)[:100]
            reason = getattr(error, "strerror", None) or error
            raise BadRequest(f"the request's file '{shown}' can't be written: {reason}") from error
    if stack.MANIFEST in files:
        return folder
    if stack.LOCK not in files:
        raise BadRequest(f"the request's 'files' have neither {stack.MANIFEST} nor {stack.LOCK}")
    return from_lock(os.path.join(folder, stack.LOCK), scratch)


def from_lock(path, scratch):
    """A folder with an environment of what a lock has; everything else is the configuration's."""
    folder = os.path.join(scratch, "from-lock")
    if not os.path.isfile(path):
        raise BadRequest(f"{path}: there is no such file")
    spack.environment.create_in_dir(folder, init_file=path, with_view=False)
    return folder


def image_of(image):
    return str(image.get("name", "")) if isinstance(image, dict) else str(image or "")


def manifest_url(base, spec):
    name = f"{spec.name}-{spec.version}-{spec.key}.spec.manifest.json"
    return spack.util.url.join(base, "v3", "manifests", "spec", spec.name, name)
