"""Sends a job's documents to the CDash that Spack's configuration names. A fault is a warning: reporting fails no build."""

from buildjob.agent.session import Session
from buildjob.ci.job import CIJob
from buildjob.run_folder import CDASH, RunResult
from buildjob.spack.ci_answer import JobConfiguration


def submit_to_cdash(session: Session, job: CIJob, configuration: JobConfiguration, result: RunResult) -> None:
    """Send the documents, if there are some and the configuration names a CDash with a build group."""
    section, folder = configuration.cdash, result.folder / CDASH
    if not (section.url and section.group and folder.is_dir()):
        return
    from ctest_xml.cdash import Server  # noqa: PLC0415  after the build: the agent stays small while it runs
    from ctest_xml.errors import BadInput  # noqa: PLC0415
    from ctest_xml.submit import submit  # noqa: PLC0415

    server = Server(url=section.url, project=section.project, token=job.cdash_token)
    try:
        report = submit(folder, server=server)
    except BadInput as error:
        session.log.warning(f"CDash: {error}")
        return
    for name, state in report.left.items():
        reasons = [each.reason for each in report.results if each.name == name and each.reason]
        session.log.warning(f"CDash at {server.base}: {name} is {state}: {'; '.join(reasons) or 'not sent'}")
    if report.link:
        session.log.note(f"CDash: {report.link}")
