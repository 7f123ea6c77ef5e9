#include "tensor/device.h"

#include <ATen/ATen.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.h"

namespace temper {
namespace {

namespace fs = std::filesystem;

// The folder of libtorch_cpu, by a function of it.
fs::path libtorch_folder() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<void*>(&at::globalContext), &info) == 0 || info.dli_fname == nullptr) return {};
  std::error_code error;
  const fs::path library = fs::canonical(info.dli_fname, error);
  return error ? fs::path(info.dli_fname).parent_path() : library.parent_path();
}

int64_t gpus() {
  try {
    return c10::impl::getDeviceGuardImpl(c10::kCUDA)->deviceCount();
  } catch (const std::exception&) {
    return 0;
  }
}

}  // namespace

void load_cuda() {
  if (c10::impl::hasDeviceGuardImpl(c10::kCUDA) && gpus() > 0) return;
  // cuBLAS gives the same bits twice only with a workspace of its own.
  ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  const fs::path folder = libtorch_folder(), library = folder / "libtorch_cuda.so";
  if (!fs::exists(library)) {
    user_error(
        "device: \"cuda\": the LibTorch in {} was made without CUDA (no libtorch_cuda.so); build with "
        "scripts/setup.sh "
        "--libtorch FOLDER, of one that has it, or use \"cpu\"",
        folder.string());
  }
  if (dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    const char* why = dlerror();
    user_error(
        "device: \"cuda\": {} cannot be loaded: {}; install NVIDIA's libraries beside it (pip install torch "
        "brings them)",
        library.string(), why == nullptr ? "no reason given" : why);
  }
  if (gpus() == 0) {
    user_error(
        "device: \"cuda\": LibTorch has CUDA, but there is no NVIDIA driver or no GPU on this machine "
        "(nvidia-smi shows "
        "both); use \"cpu\"");
  }
}

}  // namespace temper
