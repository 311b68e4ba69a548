from spack_repo.builtin_mock.build_systems.generic import Package

from spack.package import *


class HelloMarkup(Package):
    """Writes markup, ANSI codes, NUL bytes and bad UTF-8 into its log, and fails."""

    homepage = "https://localhost/hello-markup"
    has_code = False
    version("1.0")

    def install(self, spec, prefix):
        sh = which("sh", required=True)
        sh("-c", r"""printf 'a\000b\033[31mred\033[0m \377\376 <script>alert(1)</script>\n'""")
        sh("-c", r"""echo 'x.c:1:2: error: <script>alert("first")</script> & "more"'; exit 1""")
