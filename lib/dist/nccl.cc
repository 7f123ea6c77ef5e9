#include "dist/nccl.h"

#include <c10/core/Stream.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <thread>

namespace temper {
namespace {

struct Id {
  std::array<char, 128> bytes;
};
constexpr int kSum = 0;

// nccl.h's ncclDataType_t.
int type_of(const at::Tensor& t) {
  switch (t.scalar_type()) {
    case at::kByte:
      return 1;
    case at::kLong:
      return 4;
    case at::kFloat:
      return 7;
    case at::kDouble:
      return 8;
    case at::kBFloat16:
      return 9;
    default:
      throw std::runtime_error(fmt::format("NCCL: no type for {}", c10::toString(t.scalar_type())));
  }
}

c10::Stream current_stream() {
  const auto* guard = c10::impl::getDeviceGuardImpl(c10::kCUDA);
  return guard->getStream(guard->getDevice());
}

}  // namespace

struct Nccl::Library {
  int (*unique_id)(Id*) = nullptr;
  int (*init)(void** group, int world, Id id, int rank) = nullptr;
  int (*all_reduce)(const void*, void*, size_t, int type, int op, void* group, void* stream) = nullptr;
  int (*reduce)(const void*, void*, size_t, int type, int op, int root, void* group, void* stream) = nullptr;
  int (*broadcast)(const void*, void*, size_t, int type, int root, void* group, void* stream) = nullptr;
  int (*begin)() = nullptr;
  int (*end)() = nullptr;
  int (*leave)(void* group) = nullptr;
  int (*failure)(void* group, int* error) = nullptr;
  const char* (*words)(int) = nullptr;

  Library() {
    find(unique_id, "ncclGetUniqueId");
    find(init, "ncclCommInitRank");
    find(all_reduce, "ncclAllReduce");
    find(reduce, "ncclReduce");
    find(broadcast, "ncclBroadcast");
    find(begin, "ncclGroupStart");
    find(end, "ncclGroupEnd");
    find(leave, "ncclCommAbort");
    find(failure, "ncclCommGetAsyncError");
    find(words, "ncclGetErrorString");
    // One order of sums, whatever the sizes and the machine's links.
    ::setenv("NCCL_ALGO", "Ring", /*overwrite=*/0);
    ::setenv("NCCL_PROTO", "Simple", /*overwrite=*/0);
  }
  void check(int error, const char* what) const {
    if (error != 0) throw std::runtime_error(fmt::format("NCCL: {}: {}", what, words(error)));
  }
  static const Library& get() {
    static const Library library;
    return library;
  }

 private:
  template <typename F>
  static void find(F& function, const char* name) {
    function = reinterpret_cast<F>(dlsym(RTLD_DEFAULT, name));
    if (function == nullptr)
      throw std::runtime_error(fmt::format("NCCL: there is no {}; is device \"cuda\"?", name));
  }
};

std::string Nccl::fresh_id() {
  Id id{};
  Library::get().check(Library::get().unique_id(&id), "a group's name");
  return {id.bytes.data(), id.bytes.size()};
}

Nccl::Nccl(const std::string& id, int64_t rank, int64_t world) : library_(Library::get()) {
  Id name{};
  if (id.size() != name.bytes.size()) throw std::runtime_error("NCCL: this is no group's name");
  std::memcpy(name.bytes.data(), id.data(), id.size());
  library_.check(library_.init(&group_, static_cast<int>(world), name, static_cast<int>(rank)),
                 "cannot join the other GPUs");
}

Nccl::~Nccl() {
  // Not ncclCommDestroy, which waits for ranks that may be gone.
  if (group_ != nullptr) library_.leave(group_);
}

void Nccl::queued(const std::vector<at::Tensor>& tensors, const std::function<int(const at::Tensor&)>& call,
                  const Waiting& waiting) const {
  library_.check(library_.begin(), "a group of calls");
  for (const at::Tensor& t : tensors) library_.check(call(t), "a call");
  library_.check(library_.end(), "the calls");
  const c10::Stream stream = current_stream();
  // Asked, not waited for: a rank that is gone would be waited for without end.
  constexpr auto kPause = std::chrono::microseconds(50), kLook = std::chrono::microseconds(500000);
  for (auto waited = kPause; !stream.query(); waited += kPause) {
    std::this_thread::sleep_for(kPause);
    if (waited % kLook != std::chrono::microseconds(0)) continue;
    int error = 0;
    library_.check(library_.failure(group_, &error), "the state of the group");
    library_.check(error, "another GPU");
    if (waiting) waiting();
  }
}

void Nccl::sum(const std::vector<at::Tensor>& tensors, const Waiting& waiting) const {
  void* const stream = current_stream().native_handle();
  queued(
      tensors,
      [&](const at::Tensor& t) {
        return library_.all_reduce(t.const_data_ptr(), t.mutable_data_ptr(), static_cast<size_t>(t.numel()),
                                   type_of(t), kSum, group_, stream);
      },
      waiting);
}

void Nccl::sum_to(int64_t owner, const std::vector<at::Tensor>& tensors, const Waiting& waiting) const {
  void* const stream = current_stream().native_handle();
  queued(
      tensors,
      [&](const at::Tensor& t) {
        return library_.reduce(t.const_data_ptr(), t.mutable_data_ptr(), static_cast<size_t>(t.numel()),
                               type_of(t), kSum, static_cast<int>(owner), group_, stream);
      },
      waiting);
}

void Nccl::copy_from(int64_t from, const std::vector<at::Tensor>& tensors, const Waiting& waiting) const {
  void* const stream = current_stream().native_handle();
  queued(
      tensors,
      [&](const at::Tensor& t) {
        return library_.broadcast(t.const_data_ptr(), t.mutable_data_ptr(), static_cast<size_t>(t.numel()),
                                  type_of(t), static_cast<int>(from), group_, stream);
      },
      waiting);
}

}  // namespace temper
