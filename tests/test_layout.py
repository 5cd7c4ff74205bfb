"""The layers depend on each other one way only: reads the includes and imports and holds them to it."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rnncore
from frameworks import require

ROOT = Path(__file__).resolve().parents[1]
NATIVE = ROOT / "src"
PACKAGE = ROOT / "python" / "rnncore"

# Lowest first; a file may include files of its own layer and of those below it.
NATIVE_LAYERS = ["ground", "simd", "cells", "kernels", "support", "files", "linear", "network", "stream"]
NATIVE_LAYERS += ["model", "detection", "c", "bindings"]
C_HEADER = "rnncore/rnncore.h"  # in include/: it includes nothing of the library

# What an instruction set compiles into its own namespace; from above, only the table of its functions is seen.
PER_SET = ("simd", "cells", "kernels")
TABLE = "rnncore/kernels/table.hpp"
# Plain structs, names and sizes that every layer may include.
GROUND = tuple(
    f"rnncore/{name}.hpp" for name in ("amx", "arrays", "caches", "cell", "functions", "update", "weight_format")
)

# A bridge may import its framework, since nothing imports the bridge before it is asked for.
BRIDGED: dict[str, set[str]] = {
    **{f"rnncore.bridges.{name}": {"keras"} for name in ("from_keras", "keras_masks", "to_keras")},
    "rnncore.bridges.onnx": {"google", "onnx"},
    "rnncore.bridges.torch": {"torch"},
    **{f"rnncore.bridges.{name}": {"sklearn"} for name in ("estimator", "sequences", "sklearn")},
}

# The names under which users import the bridges.
NAMES_OF_BRIDGES = {"keras", "nam", "onnx", "sklearn", "torch"}

# What users run: it may import everything, and nothing else imports it.
APPLICATIONS = {"__main__", "bridges", "cli", "contrast", "datasets", "detection", "distributed", "forecasting"}
APPLICATIONS |= {"tables", "text"} | NAMES_OF_BRIDGES


def native_files() -> list[str]:
    return sorted(str(path.relative_to(NATIVE)) for path in NATIVE.rglob("*.[ch]pp"))


def python_modules() -> dict[str, Path]:
    """Map rnncore.a.b to its file."""
    modules = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ["rnncore", *path.relative_to(PACKAGE).with_suffix("").parts]
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


def includes(file: str) -> list[str]:
    return re.findall(r'^\s*#\s*include\s+["<]([^">]+)[">]', (NATIVE / file).read_text(), re.MULTILINE)


def imports(module: str, path: Path, top_level: bool = False) -> set[str]:
    """Full names of the modules imported in a file, in functions too unless top_level."""
    tree = ast.parse(path.read_text())
    known = python_modules()
    found = set()
    for node in top_level_nodes(tree) if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import, write the full name"
            assert node.module is not None
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            submodules = {name for name in names if name in known or name == "rnncore._core"}
            found |= submodules if submodules == names else submodules | {node.module}
    return found


def top_level_nodes(tree: ast.Module) -> list[ast.stmt]:
    """Statements that run on import: not those in functions nor under `if TYPE_CHECKING`."""
    nodes: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.If | ast.Try | ast.With):
            nodes += [child for child in ast.walk(node) if isinstance(child, ast.stmt)]
        nodes.append(node)
    return nodes


def native_layer(file: str) -> int:
    parts = Path(file).parts
    if parts[0] == "bindings":
        return NATIVE_LAYERS.index("bindings")
    if len(parts) == 3:
        return NATIVE_LAYERS.index(parts[1])
    if file in GROUND:
        return NATIVE_LAYERS.index("ground")
    stem = Path(file).stem.partition("_")[0]  # network_forward is a part of network
    return NATIVE_LAYERS.index(stem if stem in ("linear", "network", "stream") else "support")


def room(module: str) -> str:
    """layers of rnncore.layers.lstm; the front door, rnncore itself, is none."""
    return module.partition("rnncore.")[2].partition(".")[0]


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Return names that lead back to the first of them, or nothing."""
    done: set[str] = set()

    def search(path: list[str]) -> list[str]:
        for name in sorted(graph.get(path[-1], ())):
            if name in path:
                return [*path[path.index(name) :], name]
            if name not in done and (found := search([*path, name])):
                return found
        done.add(path[-1])
        return []

    return next((found for name in sorted(graph) if name not in done and (found := search([name]))), [])


@pytest.mark.parametrize("file", native_files())
def test_native_includes_point_down(file: str) -> None:
    for included in includes(file):
        if included == C_HEADER:
            assert native_layer(file) >= NATIVE_LAYERS.index("c"), f"{file} includes the header of the C face"
            continue
        if not included.startswith(("rnncore/", "bindings/")):
            continue
        assert (NATIVE / included).is_file(), f"{file} includes {included}: name it from src/"
        assert native_layer(included) <= native_layer(file), f"{file} includes {included} of a layer above it"


@pytest.mark.parametrize("file", native_files())
def test_native_files_do_not_include_themselves(file: str) -> None:
    seen: set[str] = set()
    todo = [name for name in includes(file) if (NATIVE / name).is_file()]
    while todo:
        name = todo.pop()
        assert name != file, f"{file} includes itself"
        if name not in seen:
            seen.add(name)
            todo += [child for child in includes(name) if (NATIVE / child).is_file()]


def test_code_of_an_instruction_set_is_seen_through_its_table_only() -> None:
    per_set = [file for file in native_files() if 0 < native_layer(file) < NATIVE_LAYERS.index("support")]
    above = [file for file in native_files() if file not in per_set]
    assert per_set
    assert above
    for file in above:
        reached = {name for name in includes(file) if name.startswith(tuple(f"rnncore/{part}/" for part in PER_SET))}
        assert reached <= {TABLE}, f"{file} includes {sorted(reached - {TABLE})}: only {TABLE} is for all"
    for file in (TABLE, *GROUND):
        assert not [name for name in includes(file) if not name.startswith("c") and name not in GROUND], (
            f"{file} stands alone"
        )


@pytest.mark.parametrize(
    ("header", "home"),
    [
        (r"Eigen/", r"rnncore/simd/"),
        (r"pybind11/|Python\.h", r"bindings/"),
        (r"omp\.h", r"rnncore/parallel\.cpp"),
        (r"nlohmann/", r"rnncore/(detection/file|files/tensors|model/json)\.cpp"),
    ],
    ids=["eigen", "pybind11", "openmp", "json"],
)
def test_each_foreign_library_has_one_home(header: str, home: str) -> None:
    users = [file for file in native_files() if any(re.match(header, name) for name in includes(file))]
    assert users
    assert not [file for file in users if not re.match(home, file)]


def test_openmp_pragmas_stand_in_parallel_cpp_only() -> None:
    pragma = re.compile(r"^\s*#\s*pragma\s+omp\b|_Pragma\(\"omp\b", re.MULTILINE)
    users = {file for file in native_files() if pragma.search((NATIVE / file).read_text())}
    assert users == {"rnncore/parallel.cpp"}


def test_machine_flags_stand_in_isa_cmake_only() -> None:
    build_files = [ROOT / "CMakeLists.txt", ROOT / "CMakePresets.json", ROOT / "pyproject.toml"]
    build_files += ROOT.glob("cmake/*")
    for folder in ("src", "tests", "probe", "bench", "examples"):
        build_files += [path for path in (ROOT / folder).rglob("CMakeLists.txt") if "build" not in path.parts]
    users = {path.name for path in build_files if re.search(r"(?<![\w-])-m[a-z]+[\w=.-]*", path.read_text())}
    assert users == {"Isa.cmake"}
    sources = [file for file in native_files() if re.search(r"\btarget\s*\(\s*\"", (NATIVE / file).read_text())]
    assert not sources, "an instruction set is chosen per file, not by attribute"


def test_every_cell_has_a_twin_that_names_it() -> None:
    cells = {path.stem: path for path in (NATIVE / "rnncore" / "cells").glob("*.hpp")}
    twins = {path.stem: path for path in (PACKAGE / "reference" / "cells").glob("*.py")}
    twins["all"] = twins.pop("__init__")
    assert cells.keys() == twins.keys()
    for stem, cell in cells.items():
        assert f"reference/cells/{twins[stem].name}" in "".join(cell.read_text().splitlines()[:3])
        assert f"cells/{stem}.hpp" in twins[stem].read_text().splitlines()[0]


def test_every_named_twin_exists() -> None:
    for path in (PACKAGE / "reference").rglob("*.py"):
        for named in re.findall(r"src/rnncore/[\w/]+\.[ch]pp", path.read_text()):
            assert (ROOT / named).is_file(), f"{path.name} names {named}"
    for file in native_files():
        for named in re.findall(r"python/rnncore/[\w/]+\.py", (NATIVE / file).read_text()):
            assert (ROOT / named).is_file(), f"{file} names {named}"


def package_imports() -> dict[str, set[str]]:
    """Map each module to those of the package that it imports, in functions and for type checking too."""
    return {
        module: {name for name in imports(module, path) if name.split(".")[0] == "rnncore"}
        for module, path in python_modules().items()
        if module != "rnncore"  # the front door names what it offers
    }


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c", "d"}, "c": set(), "d": {"a"}}) == ["a", "b", "d", "a"]
    assert not circle({"a": {"b", "c"}, "b": {"c"}, "c": set()})


def test_python_modules_import_each_other_in_no_circle() -> None:
    assert not circle(package_imports())


def test_python_rooms_import_each_other_in_no_circle() -> None:
    rooms: dict[str, set[str]] = {}
    for module, imported in package_imports().items():
        rooms.setdefault(room(module), set()).update({room(name) for name in imported} - {room(module)})
    assert {"layers", "models", "training"} <= rooms.keys()
    assert not circle(rooms)


def test_only_applications_import_applications_and_the_front_door() -> None:
    for module, imported in package_imports().items():
        if room(module) not in APPLICATIONS:
            above = {name for name in imported if name == "rnncore" or room(name) in APPLICATIONS}
            assert not above, f"{module} imports {sorted(above)} of a room above it"


@pytest.mark.parametrize("name", sorted(NAMES_OF_BRIDGES))
def test_a_bridge_is_imported_under_its_short_name(name: str) -> None:
    require(name)
    short, bridge = (importlib.import_module(f"rnncore.{path}") for path in (name, f"bridges.{name}"))
    assert getattr(rnncore, name) is short
    for each in bridge.__all__:
        assert getattr(short, each) is getattr(bridge, each)


def test_the_reference_stands_alone() -> None:
    allowed = {"numpy", *sys.stdlib_module_names}
    for module, path in python_modules().items():
        if module.startswith("rnncore.reference"):
            for name in imports(module, path):
                assert name.startswith("rnncore.reference") or name.split(".")[0] in allowed, f"{module} imports {name}"


@pytest.mark.parametrize("module", python_modules())
def test_modules_import_numpy_and_the_standard_library_at_most(module: str) -> None:
    allowed = {"rnncore", "numpy", *sys.stdlib_module_names}
    foreign = {name.split(".")[0] for name in imports(module, python_modules()[module], top_level=True)} - allowed
    foreign -= BRIDGED.get(".".join(module.split(".")[:3]), set())
    assert not foreign, f"{module} imports {foreign} at its top: import it in the function that needs it"


def test_the_import_loads_no_application() -> None:
    code = "import rnncore, sys; print(*[name for name in sys.modules if name.startswith('rnncore')])"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "rnncore._core" in loaded
    assert "rnncore.cli" not in loaded


def test_layers_are_asked_what_they_are_not_which_class_they_have() -> None:
    """Outside of layers/ a new kind of layer needs no new branch: it says itself what a model needs to know."""
    kinds = {"Module", "RecurrentLayer", "RecursiveLayer", "RECURRENT", "KINDS"}
    for path in (PACKAGE / "layers").glob("*.py"):
        kinds |= {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)}
    kinds -= {"State", "ByNumber", "AllStates"}  # values, no layers
    asked = []
    for module, path in python_modules().items():
        if module.startswith("rnncore.layers"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("isinstance", "issubclass")
            ):
                named = {part.id for part in ast.walk(node.args[1]) if isinstance(part, ast.Name)}
                named |= {part.attr for part in ast.walk(node.args[1]) if isinstance(part, ast.Attribute)}
                asked += [f"{module}:{node.lineno} asks for {kind}" for kind in sorted(named & kinds)]
    assert not asked
