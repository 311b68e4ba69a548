from spack_repo.builtin_mock.build_systems.generic import Package

from spack.package import *


class HelloMarkup(Package):
    """Writes markup, ANSI codes, NUL bytes and bad UTF-8 into its log, and fails."""

    homepage = "https://localhost/hello-markup"
    has_code = False
    version("1.0")

    def install(self, spec, prefix):
        with open("talk.sh", "w") as file:
            file.write(r"""printf 'a\000b\033[31mred\033[0m \377\376 <script>alert(1)</script>\n'""" + "\n")
            file.write("""echo 'x.c:1:2: error: <script>alert("first")</script> & "more"'; exit 1\n""")
        which("sh", required=True)("talk.sh")
