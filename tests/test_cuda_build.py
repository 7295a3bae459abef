"""How the CUDA module is built, what it does without a GPU, and what its bindings refuse."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from acutance import _native, ops, oracle, tiling
from acutance.errors import BackendError, UsageError

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("CUDACXX", "CUDA_HOME", "CUDA_PATH", "CUDA_ROOT", "CONDA_PREFIX")

U16 = np.arange(81, dtype=np.uint16).reshape(9, 9)
PLAN = tiling.plan(9, 9, 9, 0, 2)


# The search for nvcc


def fake_nvcc(folder: Path, version: str, architectures: str = "75 80 86 87 89 90 100 101 120") -> Path:
    """Write a program that says what nvcc of that version says of itself."""
    path = folder / "bin" / "nvcc"
    path.parent.mkdir(parents=True)
    said = "".join(f"compute_{a}\\n" for a in architectures.split())
    path.write_text(
        "#!/bin/sh\n"
        f'case $1 in --version) echo "Cuda compilation tools, release {version[:4]}, V{version}";;\n'
        f'--list-gpu-arch) printf "{said}";;\n'
        "*) exit 1;; esac\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def find_nvcc(tmp_path: Path) -> Callable[..., tuple[str, str]]:
    """Return a function that looks for nvcc in ``tmp_path`` alone: the verdict and the architectures."""
    beside = Path(sys.executable).with_name("cmake")
    cmake = str(beside) if beside.is_file() else shutil.which("cmake")
    if cmake is None:
        pytest.skip("no cmake")

    def find(**environment: object) -> tuple[str, str]:
        inherited = {k: v for k, v in os.environ.items() if k not in NAMES}
        named = {k: str(v) for k, v in environment.items()}
        command = [cmake, f"-DACUTANCE_CUDA_ROOTS={tmp_path}", "-P", ROOT / "cmake" / "FindNvcc.cmake"]
        done = subprocess.run(
            command, env={**inherited, "PATH": "/usr/bin:/bin", **named}, capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        verdict, architectures = done.stdout.splitlines()
        return verdict.removeprefix("-- CUDA: "), architectures.removeprefix("-- CUDA architectures: ")

    return find


def test_finds_nvcc_outside_path_the_newest_first(tmp_path: Path, find_nvcc: Callable[..., tuple[str, str]]) -> None:
    fake_nvcc(tmp_path / "cuda-9.2", "9.2.148")
    assert find_nvcc()[0].endswith("is CUDA 9.2.148, wanted 11.8 or newer")
    fake_nvcc(tmp_path / "cuda-12.6", "12.6.85", "80 86 87 89 90")
    newest = fake_nvcc(tmp_path / "cuda-13.0", "13.0.88", "75 80 86 87 88 89 90 100 110 103 120 121")
    assert find_nvcc() == (f"nvcc 13.0.88 at {newest} (outside PATH)", "80;86;87;89;90;100;110;120")
    default = fake_nvcc(tmp_path / "cuda", "12.6.85", "80 86 87 89 90")
    assert find_nvcc() == (f"nvcc 12.6.85 at {default} (outside PATH)", "80;86;87;89;90")


def test_what_the_user_names_comes_first(tmp_path: Path, find_nvcc: Callable[..., tuple[str, str]]) -> None:
    fake_nvcc(tmp_path / "cuda", "12.0.1")
    on_path, home, named = (fake_nvcc(tmp_path / n, f"12.{i}.1") for i, n in enumerate(("path", "home", "named"), 1))
    path = f"{on_path.parent}:/usr/bin:/bin"
    assert find_nvcc(PATH=path)[0] == f"nvcc 12.1.1 at {on_path} (on PATH)"
    assert find_nvcc(PATH=path, CUDA_HOME=home.parents[1])[0] == f"nvcc 12.2.1 at {home} (under CUDA_HOME)"
    assert find_nvcc(PATH=path, CONDA_PREFIX=home.parents[1])[0] == f"nvcc 12.2.1 at {home} (under CONDA_PREFIX)"
    both = find_nvcc(PATH=path, CUDA_HOME=home.parents[1], CUDACXX=named)
    assert both[0] == f"nvcc 12.3.1 at {named} (named by CUDACXX)"


def test_thor_has_the_number_of_its_toolkit(tmp_path: Path, find_nvcc: Callable[..., tuple[str, str]]) -> None:
    fake_nvcc(tmp_path / "cuda", "12.9.86")
    assert find_nvcc()[1] == "80;86;87;89;90;100;101;120"


def test_says_why_there_is_none(tmp_path: Path, find_nvcc: Callable[..., tuple[str, str]]) -> None:
    assert re.fullmatch(f"no nvcc: not named by .*, not on PATH, not in {tmp_path}", find_nvcc()[0])
    broken = fake_nvcc(tmp_path / "cuda", "12.9.86")
    broken.write_text("#!/bin/sh\nexit 1\n")
    old = fake_nvcc(tmp_path / "cuda-20", "12.9.86", "50 60 70")
    verdict, architectures = find_nvcc()
    none = "compiles for none of 80 86 87 89 90 100 110 120"
    assert verdict == f"{broken} (outside PATH) does not run; {old} (outside PATH) {none}"
    assert architectures == ""


# The module that was built


@pytest.fixture
def cuda() -> ModuleType:
    if _native.cuda is None:
        pytest.skip("no nvcc when acutance was installed: no CUDA module")
    return _native.cuda


def test_imports_without_cuda_libraries(cuda: ModuleType) -> None:
    ldd = shutil.which("ldd")
    if ldd is None:
        pytest.skip("no ldd")
    assert cuda.__file__
    done = subprocess.run([ldd, cuda.__file__], capture_output=True, text=True, check=True)
    assert "libc.so" in done.stdout
    assert "libcuda" not in done.stdout


def test_counts_no_device_where_none_is_visible(cuda: ModuleType) -> None:
    program = "from acutance import _native; print(_native.cuda.device_count(), _native.cuda_device_count())"
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run([sys.executable, "-c", program], env=hidden, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "0"]


FAILING = """
import numpy as np
from acutance import ops, tiling
class Pretended:
    shape = (1, 1, 9, 9)
    memory = np.zeros(shape, np.float32)
    __cuda_array_interface__ = {**memory.__array_interface__, "version": 3}
ops.gather(Pretended(), tiling.plan(9, 9, 9, 0, 2), out=Pretended())
"""


@pytest.mark.usefixtures("cuda")
def test_a_failing_call_is_named() -> None:
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run([sys.executable, "-c", FAILING], env=hidden, capture_output=True, text=True, check=False)
    error = done.stderr.splitlines()[-1]
    assert re.fullmatch(r"acutance.errors.BackendError: cudaPointerGetAttributes failed: .*(driver|device).*", error)


def test_host_arrays_are_refused_by_name(cuda: ModuleType) -> None:
    with pytest.raises(UsageError, match="slice lies in host memory; wanted an array on a CUDA device"):
        cuda.fill(U16, U16, U16, U16, 0)
    with pytest.raises(UsageError, match="slice is a list; wanted an array on a CUDA device"):
        cuda.fill([1], U16, U16, U16, 0)


def test_device_arrays_without_the_module_are_refused(monkeypatch: pytest.MonkeyPatch, device_ops: ModuleType) -> None:
    array = device_ops.OnDevice(U16[None, None], device_ops.host_upload)
    monkeypatch.setattr(_native, "cuda", None)
    with pytest.raises(BackendError, match="an array lies on a CUDA device, and this acutance was built without CUDA"):
        ops.gather(array, PLAN, out=array)


# The bindings, on the module compiled for the host


@pytest.fixture
def up(
    monkeypatch: pytest.MonkeyPatch, device_ops: ModuleType, emulated_cuda: ModuleType
) -> Callable[[np.ndarray], Any]:
    """Return what makes an array one of the emulated device."""
    monkeypatch.setattr(_native, "cuda", emulated_cuda)
    return lambda x: device_ops.OnDevice(x, device_ops.host_upload)


Up = Callable[[np.ndarray], Any]


def test_nothing_is_made_on_the_device(up: Up) -> None:
    with pytest.raises(UsageError, match="out is not given; wanted an array on the slice's device"):
        ops.gather(up(U16), PLAN)
    with pytest.raises(UsageError, match="scratch is a NoneType; wanted an array on a CUDA device"):
        ops.fill(up(U16), up(U16 == 3), up(U16.copy()))
    out = up(np.zeros((18, 18), np.uint16))
    with pytest.raises(UsageError, match="nonfinite is a NoneType; wanted an array on a CUDA device"):
        ops.assemble(None, up(U16), PLAN, out=out)
    with pytest.raises(UsageError, match="nonfinite is given for arrays in host memory"):
        ops.assemble(None, U16, PLAN, nonfinite=np.zeros(1, np.int64))


@pytest.mark.parametrize(
    "scratch", [np.zeros(80, np.int32), np.zeros(81, np.int64), np.zeros((9, 18), np.int32)[:, ::2]]
)
def test_work_memory_must_be_right(up: Up, scratch: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"scratch has .* samples of i. on cuda:0; wanted 81 of i4, C-contiguous"):
        ops.fill(up(U16), up(U16 == 3), up(U16.copy()), scratch=up(scratch))


def test_host_and_device_do_not_mix(up: Up) -> None:
    with pytest.raises(UsageError, match="mask lies in host memory"):
        ops.fill(up(U16), U16 == 3, up(U16.copy()), scratch=up(np.zeros(81, np.int32)))
    with pytest.raises(UsageError, match="slice lies in host memory"):
        ops.gather(U16, PLAN, out=up(np.zeros((1, 1, 9, 9), np.float32)))


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_the_flag_is_raised_and_never_lowered(up: Up, dtype: str) -> None:
    residual = np.zeros((1, 4, 9, 9), np.float32)
    flag, out = up(np.zeros(1, dtype)), up(np.zeros((18, 18), np.uint16))
    ops.assemble(up(residual), up(U16), PLAN, out=out, nonfinite=flag)
    assert flag.fetch()[0] == 0
    residual[0, :, 4, 4] = np.nan
    returned = ops.assemble(up(residual), up(U16), PLAN, out=out, nonfinite=flag)
    assert returned == (out, flag)
    assert flag.fetch()[0] == 1
    assert np.array_equal(out.fetch(), oracle.assemble(residual, U16, PLAN)[0])
    ops.assemble(None, up(U16), PLAN, out=out, nonfinite=flag)
    assert flag.fetch()[0] == 1
    with pytest.raises(UsageError, match=r"nonfinite has 1 samples of f4 on cuda:0; wanted 1 of i4"):
        ops.assemble(None, up(U16), PLAN, out=out, nonfinite=up(np.zeros(1, np.float32)))


def test_parameters_must_lie_on_the_device(up: Up) -> None:
    tiles = up(np.zeros((1, 1, 9, 9), np.float32))
    with pytest.raises(UsageError, match="params lies in host memory"):
        ops.gather(up(U16), PLAN, out=tiles, params=ops.parameters())
    with pytest.raises(UsageError, match=r"params has 7 samples of f4 on cuda:0; wanted 8 of f4, C-contiguous, on"):
        ops.gather(up(U16), PLAN, out=tiles, params=up(np.zeros(7, np.float32)))


def test_mapped_host_memory_is_the_devices(up: Up, emulated_cuda: ModuleType) -> None:
    assert emulated_cuda.__file__
    memory = ctypes.c_int.in_dll(ctypes.CDLL(emulated_cuda.__file__), "emulated_memory")
    tiles = up(np.zeros((1, 1, 9, 9), np.float32))
    try:
        memory.value = 1
        ops.gather(up(U16), PLAN, out=tiles)
        assert np.array_equal(tiles.fetch()[0, 0], U16)
        memory.value = 2
        with pytest.raises(UsageError, match="slice lies in page-locked memory that is not mapped"):
            ops.gather(up(U16), PLAN, out=tiles)
    finally:
        memory.value = 0


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"data": None}, "not of version 3"),
        ({"shape": (9, "9")}, "not of version 3"),
        ({"typestr": "u"}, "slice has the type string 'u'"),
        ({"mask": object()}, "slice is a masked array"),
        ({"data": (0, False)}, "slice points at memory that no CUDA device can reach"),
        ({"stream": 0}, "slice names stream 0"),
    ],
)
def test_arrays_that_describe_themselves_wrongly_are_refused(up: Up, change: dict[str, object], wanted: str) -> None:
    array = up(U16)
    array.__cuda_array_interface__.update(change)
    with pytest.raises(UsageError, match=wanted):
        ops.gather(array, PLAN, out=up(np.zeros((1, 1, 9, 9), np.float32)))


def test_a_description_with_a_hole_is_refused(up: Up) -> None:
    array = up(U16)
    del array.__cuda_array_interface__["typestr"]
    with pytest.raises(UsageError, match=r"^slice does not say where its memory is: KeyError: 'typestr'$"):
        ops.gather(array, PLAN, out=up(np.zeros((1, 1, 9, 9), np.float32)))


def test_strides_may_be_left_out(up: Up) -> None:
    array, out = up(U16), up(np.zeros((1, 1, 9, 9), np.float32))
    array.__cuda_array_interface__["strides"] = None
    ops.gather(array, PLAN, out=out)
    assert np.array_equal(out.fetch()[0, 0], U16)


def test_other_streams_are_waited_for(up: Up, emulated_cuda: ModuleType) -> None:
    assert emulated_cuda.__file__
    waits = ctypes.c_int.in_dll(ctypes.CDLL(emulated_cuda.__file__), "emulated_waits")
    slice_, out = up(U16), up(np.zeros((1, 1, 9, 9), np.float32))
    for stream, producer, wanted in ((0, None, 0), (0, 1, 0), (0, 2, 1), (77, 77, 0), (77, 1, 1)):
        slice_.__cuda_array_interface__["stream"] = producer
        before = waits.value
        ops.gather(slice_, PLAN, out=out, stream=stream)
        assert waits.value - before == wanted, (stream, producer)


class ByDlpack:
    """A NumPy array that says by DLPack that it lies on device 0."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.streams = array, array.shape, list[int]()

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)

    def __dlpack__(self, *, stream: int) -> object:
        self.streams.append(stream)
        capsule = self.array.__dlpack__()
        address = ctypes.pythonapi.PyCapsule_GetPointer
        address.restype, address.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        device = ctypes.c_int32.from_address(address(capsule, b"dltensor") + ctypes.sizeof(ctypes.c_void_p))
        assert device.value == 1
        device.value = 2
        return capsule


def test_dlpack_comes_in_and_is_given_back(up: Up) -> None:
    wide = np.zeros((9, 20), np.uint16)
    wide[:, 3:12] = U16
    slice_, mask = ByDlpack(wide[:, 3:12]), ByDlpack(U16 % 5 == 0)
    out, scratch = up(np.zeros((9, 9), np.uint16)), ByDlpack(np.zeros(81, np.int32))
    references = sys.getrefcount(wide)
    ops.fill(slice_, mask, out, scratch=scratch, stream=77)
    assert np.array_equal(out.fetch(), oracle.fill(U16, U16 % 5 == 0))
    assert slice_.streams == mask.streams == [77]
    assert sys.getrefcount(wide) == references
    ops.fill(slice_, mask, out, scratch=scratch)
    assert slice_.streams == [77, 1]
    with pytest.raises(UsageError, match="slice has dtype c8; wanted"):
        ops.fill(ByDlpack(U16.astype(np.complex64)), mask, out, scratch=scratch)


def test_large_grids_are_walked_in_steps(up: Up) -> None:
    """More rows and tiles than the grid has blocks along y and z: five in the emulation."""
    tall = np.arange(150, dtype=np.float32)[:, None]
    plan = tiling.plan(len(tall), 1, 1, 0, 1)
    tiles = up(np.zeros((len(tall), 1, 1, 1), np.float32))
    ops.gather(up(tall), plan, out=tiles)
    assert np.array_equal(tiles.fetch()[:, 0, 0], tall)
    whole = up(np.zeros((1, 1, *tall.shape), np.float32))
    ops.gather(up(tall), tiling.plan(len(tall), 1, tall.shape, 0, 1), out=whole)
    assert np.array_equal(whole.fetch()[0, 0], tall)
    out, flag = up(np.zeros_like(tall)), up(np.zeros(1, np.int32))
    ops.assemble(tiles, up(np.zeros_like(tall)), plan, out=out, nonfinite=flag)
    assert np.array_equal(out.fetch(), tall)
    mask = np.arange(len(tall))[:, None] % 2 == 1
    ops.fill(up(tall), up(mask), out, scratch=up(np.zeros(len(tall), np.int32)))
    assert np.array_equal(out.fetch(), np.where(mask, tall - 1, tall))
