"""Archives whose bytes depend on nothing but their content and the given time."""

import gzip
import io
import tarfile
import zipfile


def compressed(data, time):
    out = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=out, mode="wb", compresslevel=9, mtime=time) as file:
        file.write(data)
    return out.getvalue()


def tar_gz(files, time, directories=False):
    """A gzipped tar of `files`, {path: (data, mode)}, owned by root; with `directories` their folders are in it too."""
    out = io.BytesIO()
    # The format of GNU tar: dpkg reads no other extensions.
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        known = set()
        for path, (data, mode) in sorted(files.items()):
            parts = path.split("/")[:-1]
            for depth in range(1, len(parts) + 1) if directories else ():
                folder = "/".join(parts[:depth])
                if folder not in known:
                    known.add(folder)
                    tar.addfile(entry(folder + "/", time, 0o755, tarfile.DIRTYPE))
            member = entry(path, time, mode, tarfile.REGTYPE)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return compressed(out.getvalue(), time)


def entry(path, time, mode, kind):
    member = tarfile.TarInfo(path)
    member.type, member.mode, member.mtime = kind, mode, time
    member.uname = member.gname = "root"
    return member


def ar(members, time):
    """An archive of ar(1) with `members`, [(name, data)], in this order."""
    out = b"!<arch>\n"
    for name, data in members:
        out += f"{name:<16}{time:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
        out += data + b"\n" * (len(data) % 2)
    return out


def zipped(files, time):
    """A zip file of `files`, {path: (data, mode)}, in this order."""
    import datetime

    moment = datetime.datetime.fromtimestamp(time, datetime.timezone.utc).timetuple()[:6]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for path, (data, mode) in files.items():
            info = zipfile.ZipInfo(path, moment)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            info.external_attr = (0o100000 | mode) << 16
            file.writestr(info, data, compresslevel=9)
    return out.getvalue()
