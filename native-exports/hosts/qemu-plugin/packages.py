# SPDX-License-Identifier: GPL-2.0-or-later
"""What is needed of Debian's packages, unpacked into one folder: QEMU, its plugin header, kernels and shells for the guests.

Nothing is installed. apt gets a state of its own there: QEMU comes from the backports, because plugins see all stores only from
QEMU 8 on; the guests' packages are of another architecture.
"""
import glob
import os
import re
import shutil
import subprocess
import tarfile

KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
KERNELS = {"s390x": ("s390x", "linux-image-s390x"), "x86_64": ("amd64", "linux-image-cloud-amd64")}


class Missing(Exception):
    """Something is not to be had: the run is skipped."""


def mirror_and_suite():
    """Where this machine gets Debian from, and its suite."""
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', open("/etc/os-release", encoding="utf-8").read(), re.M))
    suite = release.get("VERSION_CODENAME")
    for path in ["/etc/apt/sources.list"] + sorted(glob.glob("/etc/apt/sources.list.d/*")):
        if not os.path.isfile(path):
            continue
        for stanza in open(path, encoding="utf-8").read().split("\n\n"):
            words = stanza.split()
            if suite in words:
                for word in words:
                    if re.match(r"https?://\S+/debian/?$", word):
                        return word, suite
    raise Missing("no Debian mirror in apt's sources: needed are the Debian packages qemu-system-s390x (10), linux-image-s390x")


class Apt:
    """apt with its state in a folder, for one architecture."""

    def __init__(self, folder, architecture=None):
        if not shutil.which("apt-get"):
            raise Missing("no apt-get: needed are the Debian packages qemu-system-s390x and qemu-system-x86 (10), linux-image-s390x")
        mirror, self.suite = mirror_and_suite()
        self.folder = folder
        os.makedirs(f"{folder}/lists/partial", exist_ok=True)
        os.makedirs(f"{folder}/archives/partial", exist_ok=True)
        with open(f"{folder}/sources.list", "w", encoding="utf-8") as out:
            for suite in [self.suite] + [self.suite + "-backports"] * (not architecture):
                out.write(f"deb [signed-by={KEYS}] {mirror} {suite} main\n")
            if not architecture:
                out.write(f"deb-src [signed-by={KEYS}] {mirror} {self.suite}-backports main\n")
        self.options = ["-qq", "-o", f"Dir::Etc::sourcelist={folder}/sources.list", "-o", "Dir::Etc::sourceparts=-",
                        "-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache::archives={folder}/archives",
                        "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=", "-o", "Debug::NoLocking=1",
                        "-o", "APT::Sandbox::User=", "-o", "Acquire::Languages=none"]
        if architecture:
            self.options += ["-o", f"APT::Architecture={architecture}", "-o", f"APT::Architectures={architecture}",
                             "-o", "Dir::State::status=/dev/null"]
        self.get("update")

    def get(self, *words):
        done = subprocess.run(["apt-get", *self.options, *words], cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Missing(f"apt-get {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")

    def kernel_of(self, name):
        """The package that a package of no contents of its own depends on: the kernel of the day."""
        shown = subprocess.run(["apt-cache", *self.options, "depends", name], capture_output=True, text=True, check=False).stdout
        found = re.search(r"Depends: (linux-image-\S+)", shown)
        if not found:
            raise Missing(f"no Debian package {name}")
        return found.group(1)

    def unpack(self, into):
        for package in sorted(glob.glob(f"{self.folder}/**/*.deb", recursive=True)):
            subprocess.run(["dpkg-deb", "-x", package, into], check=True)


def plugin_header(apt, include):
    """qemu-plugin.h is in no binary package."""
    apt.get("-t", apt.suite + "-backports", "source", "--download-only", "--tar-only", "qemu")
    with tarfile.open(glob.glob(f"{apt.folder}/qemu_*.orig.tar.xz")[0]) as tar:
        for member in tar:
            if member.name.endswith("/include/qemu/qemu-plugin.h"):
                with open(f"{include}/qemu-plugin.h", "wb") as out:
                    out.write(tar.extractfile(member).read())
                return
    raise Missing("QEMU's source package has no qemu-plugin.h")


def prepare_host(folder):
    """folder/root: QEMU; folder/include: what a plugin is compiled with."""
    if os.path.exists(f"{folder}/host.done"):
        return
    print("qemu: getting qemu-system-s390x, qemu-system-x86, their plugin header and libglib2.0-dev's (60 MB)", flush=True)
    apt, root, include = Apt(f"{folder}/apt-host"), f"{folder}/root", f"{folder}/include"
    os.makedirs(f"{include}/glib-2.0", exist_ok=True)
    apt.get("-t", apt.suite + "-backports", "--no-install-recommends", "--download-only", "-y", "install",
            "qemu-system-s390x", "qemu-system-x86")
    apt.get("download", "libglib2.0-dev")
    apt.unpack(root)
    shutil.copytree(f"{root}/usr/include/glib-2.0", f"{include}/glib-2.0", dirs_exist_ok=True)
    shutil.copy(glob.glob(f"{root}/usr/lib/*/glib-2.0/include/glibconfig.h")[0], f"{include}/glib-2.0/")
    plugin_header(apt, include)
    shutil.rmtree(apt.folder)
    open(f"{folder}/host.done", "w", encoding="utf-8").close()


def prepare_guest(folder, name):
    """folder/NAME: kernel, modules and busybox of a guest."""
    root = f"{folder}/{name}"
    if not os.path.exists(f"{root}.done"):
        architecture, kernel = KERNELS[name]
        print(f"qemu: getting {kernel}:{architecture} and busybox-static:{architecture} (30 MB)", flush=True)
        apt = Apt(f"{folder}/apt-{name}", architecture)
        apt.get("download", "busybox-static", apt.kernel_of(kernel))
        apt.unpack(root)
        shutil.rmtree(apt.folder)
        open(f"{root}.done", "w", encoding="utf-8").close()
    return root


def qemu(folder, target):
    """-> the words that start QEMU, its environment"""
    own = f"{folder}/root/usr/bin/qemu-system-{target}"
    environment = dict(os.environ)
    if os.path.exists(own):
        libraries = glob.glob(f"{folder}/root/usr/lib/*-linux-gnu") + glob.glob(f"{folder}/root/lib/*-linux-gnu")
        environment["LD_LIBRARY_PATH"] = ":".join(libraries + [environment.get("LD_LIBRARY_PATH", "")]).rstrip(":")
        return [own, "-L", f"{folder}/root/usr/share/qemu", "-L", f"{folder}/root/usr/share/seabios"], environment
    found = shutil.which(f"qemu-system-{target}")
    if not found:
        raise Missing(f"no qemu-system-{target}: ./build.sh qemu gets Debian's")
    return [found], environment
