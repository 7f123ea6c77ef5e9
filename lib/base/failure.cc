#include "base/failure.h"

#include <fmt/core.h>

#include <filesystem>
#include <new>
#include <system_error>

#include "base/memory.h"

namespace temper {

std::string machine_failure(const std::exception& e) {
  if (const auto* file = dynamic_cast<const std::filesystem::filesystem_error*>(&e)) {
    std::string path = file->path1().string();
    if (!file->path2().empty()) path += " and " + file->path2().string();
    return fmt::format("{}: {}", path.empty() ? "a file" : path, file->code().message());
  }
  const std::string what = e.what();
  // LibTorch's allocator has an exception of its own kind for everything.
  const bool torch_memory = what.find("can't allocate memory") != std::string::npos ||
                            what.find("out of memory") != std::string::npos;
  if (what.find("CUDA out of memory") != std::string::npos) {
    return "the GPU's memory is full: " + what.substr(0, what.find("GiB is free")) +
           "...; make what is asked for smaller (train.micro_batch_tokens, rollout.max_batch, "
           "model.checkpointing)";
  }
  if (dynamic_cast<const std::bad_alloc*>(&e) != nullptr || torch_memory) {
    return fmt::format(
        "out of memory, with {:.1f} GB in use at most so far; make what is asked for smaller "
        "(train.micro_batch_tokens, a batch, a count), or give more memory",
        static_cast<double>(peak_memory_bytes()) / 1e9);
  }
  if (dynamic_cast<const std::system_error*>(&e) != nullptr) return what;
  return "";
}

}  // namespace temper
