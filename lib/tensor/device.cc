#include "tensor/device.h"

#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>
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

// CUDA's own words for a failure are many lines; the first one says it.
std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

// The first allocation is what a GPU that is full, or another's alone, refuses.
void try_gpu() {
  // ATen asks this variable once, before its first product under deterministic algorithms; cuBLAS gives the
  // same bits twice with a workspace of its own, which ATen hands it in any case. Then the variable goes
  // again: as long as it is there ATen reads it with a regular expression at every product, which takes the
  // host longer than to start the product.
  constexpr const char* kWorkspace = "CUBLAS_WORKSPACE_CONFIG";
  const bool ours = std::getenv(kWorkspace) == nullptr;
  if (ours) ::setenv(kWorkspace, ":4096:8", /*overwrite=*/1);
  try {
    const at::Tensor one = at::ones({8, 8}, at::TensorOptions(at::kCUDA));
    at::mm(one, one).cpu();
    if (ours) ::unsetenv(kWorkspace);
  } catch (const std::exception& e) {
    user_error(
        "device: \"cuda\": the GPU cannot be used: {}; another process may hold it or its memory (nvidia-smi "
        "shows them)",
        first_line(e.what()));
  }
}

}  // namespace

bool cuda_has_bf16() {
  // By CUDA's runtime library, which libtorch_cuda has brought in; there are no headers of it here.
  using GetAttribute = int (*)(int* value, int attribute, int device);
  constexpr int kComputeCapabilityMajor = 75;
  const auto get = reinterpret_cast<GetAttribute>(dlsym(RTLD_DEFAULT, "cudaDeviceGetAttribute"));
  int major = 0;
  const int device = c10::impl::getDeviceGuardImpl(c10::kCUDA)->getDevice().index();
  return get == nullptr || get(&major, kComputeCapabilityMajor, device) != 0 || major >= 8;
}

int64_t peak_device_bytes(c10::Device device) {
  if (!device.is_cuda()) return 0;
  const auto index = c10::impl::getDeviceGuardImpl(c10::kCUDA)->getDevice().index();
  return at::accelerator::getDeviceStats(index).allocated_bytes[0].peak;  // of all kinds of blocks together
}

void load_cuda() {
  if (c10::impl::hasDeviceGuardImpl(c10::kCUDA) && gpus() > 0) return;
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
    const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
    user_error(
        "device: \"cuda\": LibTorch has CUDA, but there is no NVIDIA driver or no GPU for this process "
        "(nvidia-smi shows both{}); use \"cpu\"",
        visible == nullptr ? "" : fmt::format("; CUDA_VISIBLE_DEVICES is \"{}\"", visible));
  }
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
  // Else every fresh tensor is filled.
  at::globalContext().setDeterministicFillUninitializedMemory(false);
  try_gpu();
}

}  // namespace temper
