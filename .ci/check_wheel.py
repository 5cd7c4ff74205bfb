"""Check that a wheel holds each tracked file of the package, the licenses, core and C library, and is under 6 MB."""

import subprocess
import sys
import zipfile
from pathlib import Path

LIMIT = 6e6
HEADER = "rnncore/include/rnncore/rnncore.h"


def main(wheel: Path) -> str | None:
    """Return what is wrong, or None."""
    tracked = subprocess.run(["git", "ls-files", "python/rnncore"], check=True, capture_output=True, text=True).stdout
    wanted = {name.removeprefix("python/") for name in tracked.split()}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not name.endswith("/")}
    core = [name for name in held if name.startswith("rnncore/_core.") and name.endswith(".so")]
    library = [name for name in held if name.startswith("rnncore/lib/librnncore.so.")]
    package = {name for name in held if name.startswith("rnncore/")} - {*core, *library, HEADER}
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, {len(held)} files")
    if len(core) != 1:
        return f"expected one compiled core, found {core}"
    if len(library) != 1 or HEADER not in held:
        return f"expected the C library and its header, found {library}"
    if package != wanted:
        return f"missing: {sorted(wanted - package)}, not tracked: {sorted(package - wanted)}"
    if not {"LICENSE", "LICENSE-THIRD-PARTY"} <= {Path(name).name for name in held}:
        return "a license is missing"
    if wheel.stat().st_size > LIMIT:
        return f"larger than {LIMIT / 1e6:.0f} MB"
    return None


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
