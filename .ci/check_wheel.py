"""Check that a wheel holds every tracked file of the package, the licenses and one core, and stays under 6 MB."""

import subprocess
import sys
import zipfile
from pathlib import Path

LIMIT = 6e6


def main(wheel: Path) -> str | None:
    """Return what is wrong, or None."""
    tracked = subprocess.run(["git", "ls-files", "python/rnncore"], check=True, capture_output=True, text=True).stdout
    wanted = {name.removeprefix("python/") for name in tracked.split()}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not name.endswith("/")}
    core = [name for name in held if name.startswith("rnncore/_core.") and name.endswith(".so")]
    package = {name for name in held if name.startswith("rnncore/")} - set(core)
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, {len(held)} files")
    if len(core) != 1:
        return f"expected one compiled core, found {core}"
    if package != wanted:
        return f"missing: {sorted(wanted - package)}, not tracked: {sorted(package - wanted)}"
    if not {"LICENSE", "LICENSE-THIRD-PARTY"} <= {Path(name).name for name in held}:
        return "a license is missing"
    if wheel.stat().st_size > LIMIT:
        return f"larger than {LIMIT / 1e6:.0f} MB"
    return None


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
