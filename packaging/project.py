"""What is packed: the project as Cargo.toml describes it, and the binaries of one platform."""

import functools
import json
import os
import pathlib
import re
import struct
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# The name of a platform: of the kernel, of Rust, of Debian, of Node. The key is the machine number of the ELF header.
MACHINES = {
    62: ("x86_64", "x86_64-unknown-linux-gnu", "amd64", "x64"),
    183: ("aarch64", "aarch64-unknown-linux-gnu", "arm64", "arm64"),
}

# What belongs below the `share` of a system, where shells and man look, and its name in the `share` of the build.
SHARED = {
    "man/man1/rpm-runtime.1": "rpm-runtime.1",
    "man/man1/rpmctl.1": "rpmctl.1",
    "bash-completion/completions/rpmctl": "rpmctl.bash",
    "zsh/vendor-completions/_rpmctl": "rpmctl.zsh",
    "fish/vendor_completions.d/rpmctl.fish": "rpmctl.fish",
}


def fail(message):
    sys.exit(f"packages: {message}")


def run(*words):
    return subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def cargo(*words):
    return run(os.environ.get("CARGO", "cargo"), *words)


class Project:
    """The package of Cargo.toml."""

    def __init__(self):
        about = json.loads(cargo("metadata", "--locked", "--no-deps", "--format-version", "1"))["packages"][0]
        self.name = about["name"]
        self.version = about["version"]
        self.summary = about["description"]
        self.license = about["license"]
        self.url = about["repository"]
        self.keywords = about["keywords"]
        #: The programs of a package: every [[bin]].
        self.programs = [target["name"] for target in about["targets"] if "bin" in target["kind"]]
        self.time = self._time()

    @staticmethod
    def _time():
        """Seconds since 1970 that every file in the packages gets: of the commit, unless the caller says another."""
        given = os.environ.get("SOURCE_DATE_EPOCH")
        if given is None:
            try:
                given = run("git", "log", "-1", "--format=%ct")
            except (OSError, subprocess.CalledProcessError):
                given = "0"
        # A zip file knows no time before 1980.
        return max(int(given), 315_532_800)

    def prerelease(self, separator, joint):
        """The version with a prerelease as Debian and Python write it: `0.2.0-rc.1` is `0.2.0~rc.1` and `0.2.0rc1`."""
        number, _, rest = self.version.partition("-")
        if not rest:
            return number
        if not re.fullmatch(r"(alpha|beta|rc)\.\d+", rest):
            fail(f"version {self.version}: a prerelease is alpha.N, beta.N or rc.N")
        return number + separator + rest.replace(".", joint)

    def text(self, path):
        return (ROOT / path).read_bytes()

    @property
    def licenses(self):
        """The files of the licence, by name."""
        return {name: self.text(name) for name in ("LICENSE", "LICENSE-APACHE", "LICENSE-MIT")}


class Binary:
    """The static programs of one platform, in one directory."""

    def __init__(self, project, directory):
        #: Set by the caller, because it describes this object.
        self.sbom = b""
        self.programs = {}
        machines = set()
        for name in project.programs:
            path = directory / name
            if not path.is_file():
                fail(f"{path} is missing; run `make static`")
            data = path.read_bytes()
            machines.add(machine(path, data))
            self.programs[name] = data
        if len(machines) != 1 or not machines <= set(MACHINES):
            fail(f"{directory}: programs of machines {sorted(machines)}; expected is one of {sorted(MACHINES)}")
        self.shared = {path: self._shared(directory / "share" / name) for path, name in SHARED.items()}
        self.machine, self.target, self.debian, self.node = MACHINES[machines.pop()]
        self.native = self.machine == os.uname().machine
        if self.native:
            said = run(str(directory.resolve() / project.name), "--version").split()
            if project.version not in said:
                fail(f"{directory / project.name} says {' '.join(said)}, Cargo.toml {project.version}; run `make static`")

    @staticmethod
    def _shared(path):
        if not path.is_file():
            fail(f"{path} is missing; run `make static`")
        return path.read_bytes()

    @functools.cached_property
    def notices(self):
        """The licences of what is linked into the binary."""
        import notices

        return notices.of(self.target)


def machine(path, data):
    """The machine number of an ELF file, which must need neither a loader nor a library."""
    if data[:6] != b"\x7fELF\x02\x01":
        fail(f"{path} is no 64-bit little-endian ELF file")
    number, table, size, count = (
        struct.unpack_from("<H", data, 18)[0],
        struct.unpack_from("<Q", data, 32)[0],
        *struct.unpack_from("<HH", data, 54),
    )
    interpreter = 3
    kinds = [struct.unpack_from("<I", data, table + nr * size)[0] for nr in range(count)]
    if interpreter in kinds:
        fail(f"{path} is not static; run `make static`")
    return number
