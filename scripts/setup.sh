#!/usr/bin/env bash
# Sets everything up and builds: Debian packages, LibTorch into the cache, CMake, Ninja.
#   scripts/setup.sh [--torch VERSION] [--libtorch FOLDER] [--cuda] [--programs] [--no-arrow] [--no-build]
# --torch      2.15.0 (default) or 2.11.0
# --libtorch   an existing LibTorch folder (include/, lib/) to use instead of fetching one
# --cuda       fetches what "device": "cuda" loads at run time too: LibTorch's CUDA part and NVIDIA's libraries, 2.7 GB
# --programs   builds the six programs alone, without tests and fuzz targets
# --no-arrow   does without Arrow (55 MB), which reads Parquet and Arrow files
# --no-build   only packages and libraries
# TEMPER_CACHE says where downloads are kept (default ~/.cache/temper), TEMPER_BUILD the build folder (default build).
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "setup: $*" >&2; exit 2; }
say() { echo "setup: $*" >&2; }

torch_version=2.15.0
libtorch=
build=1
cuda=0
arrow=1
targets=()
while [ $# -gt 0 ]; do
  case "$1" in
    --torch) torch_version=${2:?--torch needs a version}; shift 2 ;;
    --libtorch) libtorch=${2:?--libtorch needs a folder}; shift 2 ;;
    --cuda) cuda=1; shift ;;
    --programs) targets=(--target temper-train temper-generate temper-eval temper-convert temper-inspect temper-serve); shift ;;
    --no-arrow) arrow=0; shift ;;
    --no-build) build=0; shift ;;
    *) fail "unknown option $1 (known: --torch VERSION, --libtorch FOLDER, --cuda, --programs, --no-arrow, --no-build)" ;;
  esac
done

[ "$(uname -s)" = Linux ] || fail "needs Linux, found $(uname -s); try Debian 12 in a container or virtual machine"
[ "$(uname -m)" = x86_64 ] || fail "needs an x86-64 processor, found $(uname -m)"
command -v apt-get >/dev/null || fail "needs Debian 12 or a relative of it (apt-get not found)"

packages=(g++ cmake ninja-build ccache clang-format pkg-config python3 python3-pip ca-certificates
  libsentencepiece-dev nlohmann-json3-dev libspdlog-dev libfmt-dev libcli11-dev doctest-dev libonig-dev libutf8proc-dev libflint-dev libflint-arb-dev
  libcpp-httplib-dev libssl-dev libjemalloc-dev zlib1g-dev libzstd-dev libyaml-cpp-dev patchelf)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  sudo=
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null && sudo -n true 2>/dev/null || fail "please install, as root: apt-get install ${missing[*]}"
    sudo=sudo
  fi
  say "installing ${missing[*]}"
  { $sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null \
    || fail "apt-get could not install: ${missing[*]}"
fi
echo '#if __GNUC__ < 12
#error
#endif' | g++ -std=c++20 -E -x c++ - >/dev/null 2>&1 || fail "needs g++ 12 or newer, found $(g++ -dumpversion)"

cache=${TEMPER_CACHE:-$HOME/.cache/temper}
torch_2_15="torch==2.15.0 --hash=sha256:48c2d861134c0b5697c7602cb5ffa68f62a2989fdcd1717e593356f67996ca1e"

# fetch FOLDER REQUIREMENT...: the wheels, without what they depend on, each against its checksum.
fetch() {
  local folder=$1
  shift
  printf '%s\n' "$@" > "$folder/requirements.txt"
  python3 -m pip download -q --no-deps --require-hashes --only-binary=:all: --python-version 3.11 --implementation cp --abi cp311 --abi none \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_25_x86_64 --platform manylinux_2_18_x86_64 \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --platform manylinux2010_x86_64 \
    -d "$folder" -r "$folder/requirements.txt" >&2
}
if [ -z "$libtorch" ]; then
  libtorch=$cache/libtorch-$torch_version
  if [ ! -f "$libtorch/DONE" ]; then
    # The wheel, without its Python dependencies, and the two small libraries that libtorch_cpu refers to.
    case $torch_version in
      2.15.0) wheels=("$torch_2_15"
                      "nvidia-cuda-runtime==13.2.86 --hash=sha256:3498247680dfddce31bad102af7e3e26fc795342a3cac64722bb0fa95e7f60f0"
                      "nvidia-cuda-cupti==13.2.86 --hash=sha256:8fa29f15dd8336181f961764d9d95236fc6b931dd0c8fcf8cd70aab0c310b586") ;;
      2.11.0) wheels=("torch==2.11.0 --hash=sha256:7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a" "nvidia-cuda-runtime==13.0.96 --hash=sha256:7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548" "nvidia-cuda-cupti==13.0.85 --hash=sha256:4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8") ;;
      *) fail "no checksums are known for torch $torch_version (known: 2.15.0, 2.11.0); use --libtorch FOLDER" ;;
    esac
    say "fetching LibTorch $torch_version into $libtorch"
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    fetch "$work" "${wheels[@]}" || fail "could not fetch LibTorch $torch_version from PyPI (network, or a checksum that does not match)"
    python3 - "$work" <<'PY'
import glob, os, sys, zipfile
work = sys.argv[1]
keep = {"libtorch_cpu.so", "libc10.so", "libgomp.so.1"}
for wheel in glob.glob(work + "/*.whl"):
    with zipfile.ZipFile(wheel) as z:
        for name in z.namelist():
            base = os.path.basename(name)
            if name.startswith("torch/include/") and base:
                out = os.path.join(work, "tree", name[len("torch/"):])
            elif name.startswith("torch/lib/") and (base in keep or base.startswith("libgomp")):
                out = os.path.join(work, "tree/lib", base)
            elif name.startswith("nvidia/") and (base.startswith("libcudart.so") or base.startswith("libcupti.so")):
                out = os.path.join(work, "tree/lib", base)
            else:
                continue
            os.makedirs(os.path.dirname(out), exist_ok=True)
            with open(out, "wb") as f:
                f.write(z.read(name))
PY
    touch "$work/tree/DONE"
    rm -rf "$libtorch"
    mv "$work/tree" "$libtorch"
    rm -rf "$work"
    trap - EXIT
  fi
fi
[ -f "$libtorch/lib/libtorch_cpu.so" ] || fail "$libtorch/lib/libtorch_cpu.so not found; --libtorch wants a folder with include/ and lib/"
libtorch=$(cd "$libtorch" && pwd)

# Arrow and Parquet, with the wheel's headers.
arrow_folder=OFF
if [ "$arrow" = 1 ]; then
  arrow_folder=$cache/arrow-26.0.1
  if [ ! -f "$arrow_folder/DONE" ]; then
    say "fetching Arrow 26.0.1 into $arrow_folder"
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    fetch "$work" "pyarrow==26.0.1 --hash=sha256:39cb0f2418282c24bea6ceda77b03e5a8f0a5766b63a8bf194d4e2a2c423548c" \
      || fail "could not fetch Arrow from PyPI (network, or a checksum that does not match); --no-arrow does without"
    python3 - "$work" <<'PY'
import glob, os, sys, zipfile
work = sys.argv[1]
with zipfile.ZipFile(glob.glob(work + "/*.whl")[0]) as z:
    for name in z.namelist():
        base = os.path.basename(name)
        if name.startswith("pyarrow/include/") and base:
            out = os.path.join(work, "tree", name[len("pyarrow/"):])
        elif base in ("libarrow.so.2600", "libparquet.so.2600"):
            out = os.path.join(work, "tree/lib", base)
        else:
            continue
        os.makedirs(os.path.dirname(out), exist_ok=True)
        with open(out, "wb") as f:
            f.write(z.read(name))
PY
    touch "$work/tree/DONE"
    rm -rf "$arrow_folder"
    mv "$work/tree" "$arrow_folder"
    rm -rf "$work"
    trap - EXIT
  fi
  arrow_folder=$(cd "$arrow_folder" && pwd)
fi

# LibTorch's CUDA part goes beside libtorch_cpu, NVIDIA's libraries where it looks for them: ../../nvidia from there.
if [ "$cuda" = 1 ] && [ ! -f "$libtorch/CUDA_DONE" ]; then
  [ "$libtorch" = "$(cd "$cache" && pwd)/libtorch-2.15.0" ] || fail "--cuda is for LibTorch 2.15.0 in $cache; another one, from pip install torch, has CUDA already: --libtorch FOLDER"
  say "fetching CUDA for LibTorch 2.15.0 into $cache"
  work=$(mktemp -d "$cache/fetch.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  fetch "$work" "$torch_2_15" \
    "nvidia-cublas==13.4.1.3 --hash=sha256:a5917cb642cfb07f4a0231ee16aec7e2e0357d8cb8b1b78a0c9c68dba3e6afc7" \
    "nvidia-cuda-cupti==13.2.86 --hash=sha256:8fa29f15dd8336181f961764d9d95236fc6b931dd0c8fcf8cd70aab0c310b586" \
    "nvidia-cuda-nvrtc==13.2.86 --hash=sha256:8111c5130e967b78222ea2124145f8efe9ce201b752b2579a2513100a53be1c5" \
    "nvidia-cuda-runtime==13.2.86 --hash=sha256:3498247680dfddce31bad102af7e3e26fc795342a3cac64722bb0fa95e7f60f0" \
    "nvidia-cudnn-cu13==9.26.0.51 --hash=sha256:9c976d539786698c71d6bcdbe2053b7485fae062ff7e1215d2f2ff67b1a2149a" \
    "nvidia-cufft==12.2.0.57 --hash=sha256:34da27fadf3979b0b042c43823f0530be8408b86df31ee0108e1ca0b621d4ef6" \
    "nvidia-cufile==1.17.1.22 --hash=sha256:87feaf8c3ad20d3d03a01933181801ff6892bace5c8f0b1e4b48f319d3e62d36" \
    "nvidia-cusolver==12.2.0.11 --hash=sha256:fab5778f6769947389a1a6abc07e635576825a08c0ffc68c3ae7f1392c794b42" \
    "nvidia-cusparse==12.7.10.12 --hash=sha256:25907c75e4db1581685f06f61cc6cdecc04611765516a52373e0a18ebd69fa00" \
    "nvidia-cusparselt-cu13==0.8.1 --hash=sha256:786ce87568c303fadb5afcc7102d454cd3040d75f6f8626f5db460d1871f4dd0" \
    "nvidia-nccl-cu13==2.30.7 --hash=sha256:cefa7fdb9710efd0f39c5f1be1d61ff6fc9a996c451265bd7fbdcf9455ed4b50" \
    "nvidia-nvjitlink==13.5.37 --hash=sha256:280d7cb9649704145f074b8dbde500de04ce02d0872e066e20a83c17bcaa93eb" \
    "nvidia-nvshmem-cu13==3.7.2 --hash=sha256:b9a4f843c62b5dded8ad33fd6d220e007dcd39f06cee549292f5ba14ce4c235c" \
    || fail "could not fetch CUDA from PyPI (network, disk, or a checksum that does not match)"
  python3 - "$work" "$libtorch/lib" "$cache" <<'PY'
import glob, os, shutil, sys, zipfile
work, lib, cache = sys.argv[1:]
parts = {"libtorch_cuda.so", "libc10_cuda.so", "libtorch_cuda_linalg.so", "libtorch_nvshmem.so"}
for wheel in glob.glob(work + "/*.whl"):
    with zipfile.ZipFile(wheel) as z:
        for name in z.namelist():
            base = os.path.basename(name)
            if name.startswith("torch/lib/") and base in parts:
                out = os.path.join(lib, base)
            elif name.startswith("nvidia/") and ".so" in base:
                out = os.path.join(cache, name)
            else:
                continue
            os.makedirs(os.path.dirname(out), exist_ok=True)
            with z.open(name) as source, open(out, "wb") as target:
                shutil.copyfileobj(source, target)
PY
  touch "$libtorch/CUDA_DONE"
  rm -rf "$work"
  trap - EXIT
fi

[ "$build" = 1 ] || exit 0
out=${TEMPER_BUILD:-build}
cmake -S . -B "$out" -G Ninja -DTEMPER_LIBTORCH="$libtorch" -DTEMPER_ARROW="$arrow_folder" >"${TMPDIR:-/tmp}/temper-cmake.$$" 2>&1 \
  || { cat "${TMPDIR:-/tmp}/temper-cmake.$$" >&2; fail "cmake failed (output above)"; }
rm -f "${TMPDIR:-/tmp}/temper-cmake.$$"
cmake --build "$out" "${targets[@]}" >&2 || fail "the build failed (output above)"
