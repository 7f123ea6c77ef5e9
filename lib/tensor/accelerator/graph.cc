#include "tensor/accelerator/graph.h"

#include <ATen/DeviceAccelerator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace temper {
namespace {

// CUDA's runtime library, which libtorch_cuda has brought in; its C interface is stable, and there are no
// headers of it here.
struct Runtime {
  int (*begin_capture)(void* stream, int mode) = nullptr;
  int (*end_capture)(void* stream, void** graph) = nullptr;
  int (*instantiate)(void** executable, void* graph, unsigned long long flags) = nullptr;
  int (*launch)(void* executable, void* stream) = nullptr;
  int (*destroy)(void* graph) = nullptr;
  int (*destroy_executable)(void* executable) = nullptr;
  const char* (*words)(int error) = nullptr;

  Runtime() {
    find(begin_capture, "cudaStreamBeginCapture");
    find(end_capture, "cudaStreamEndCapture");
    find(instantiate, "cudaGraphInstantiate");
    find(launch, "cudaGraphLaunch");
    find(destroy, "cudaGraphDestroy");
    find(destroy_executable, "cudaGraphExecDestroy");
    find(words, "cudaGetErrorString");
  }
  void check(int error, const char* what) const {
    if (error != 0) throw std::runtime_error(fmt::format("CUDA: {} failed: {}", what, words(error)));
  }

 private:
  template <typename F>
  static void find(F& function, const char* name) {
    function = reinterpret_cast<F>(dlsym(RTLD_DEFAULT, name));
    if (function == nullptr) throw std::runtime_error(fmt::format("CUDA's runtime library has no {}", name));
  }
};

constexpr int kThisThreadAlone = 1;  // cudaStreamCaptureModeThreadLocal

const c10::impl::DeviceGuardImplInterface* guard_of(c10::Device device) {
  return c10::impl::getDeviceGuardImpl(device.type());
}

int64_t flushes(c10::Device device) {
  return at::accelerator::getDeviceStats(device.index()).num_alloc_retries;
}

// The current stream, for a while.
class OnStream {
 public:
  explicit OnStream(const c10::Stream& stream)
      : guard_(guard_of(stream.device())), before_(guard_->exchangeStream(stream)) {}
  ~OnStream() { guard_->exchangeStream(before_); }

 private:
  const c10::impl::DeviceGuardImplInterface* guard_;
  c10::Stream before_;
};

class CudaGraph : public DeviceGraph {
 public:
  CudaGraph(const c10::Stream& stream, const std::function<void()>& work) : device_(stream.device()) {
    const auto* guard = guard_of(device_);
    guard->synchronizeDevice(device_.index());
    {
      const OnStream on(stream);
      work();  // so that libraries have their handles, and the stream has memory
      guard->synchronizeStream(stream);
      capture(stream, work);
    }
    flushes_ = flushes(device_);
  }
  ~CudaGraph() override { runtime_.destroy_executable(executable_); }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  void replay() override {
    runtime_.check(runtime_.launch(executable_, guard_of(device_)->getStream(device_).native_handle()),
                   "cudaGraphLaunch");
  }
  // The recorded kernels use memory that the allocator counts as free and that it would hand back to CUDA
  // when there is not enough.
  bool valid() const override { return flushes(device_) == flushes_; }

 private:
  void capture(const c10::Stream& stream, const std::function<void()>& work) {
    void *const handle = stream.native_handle(), *graph = nullptr;
    runtime_.check(runtime_.begin_capture(handle, kThisThreadAlone), "cudaStreamBeginCapture");
    std::string problem;
    try {
      work();
    } catch (const std::exception& e) {
      problem = e.what();
    }
    const int ended = runtime_.end_capture(handle, &graph);
    const int made = graph == nullptr ? 0 : runtime_.instantiate(&executable_, graph, 0);
    if (graph != nullptr) runtime_.destroy(graph);
    if (problem.empty() && ended != 0) problem = runtime_.words(ended);
    if (problem.empty() && made != 0) problem = runtime_.words(made);
    if (!problem.empty()) throw CannotRecord(problem.substr(0, problem.find('\n')));
  }

  Runtime runtime_;
  c10::Device device_;
  void* executable_ = nullptr;
  int64_t flushes_ = 0;
};

class PlainRepeat : public DeviceGraph {
 public:
  explicit PlainRepeat(std::function<void()> work) : work_(std::move(work)) { work_(); }
  void replay() override { work_(); }
  bool valid() const override { return true; }

 private:
  std::function<void()> work_;
};

}  // namespace

GraphRecorder::GraphRecorder(c10::Device device)
    : stream_(device.is_cuda() ? guard_of(device)->getStreamFromGlobalPool(guard_of(device)->getDevice())
                               : guard_of(device)->getDefaultStream(device)) {}

std::unique_ptr<DeviceGraph> GraphRecorder::record(std::function<void()> work) const {
  if (stream_.device_type() == c10::kCUDA) return std::make_unique<CudaGraph>(stream_, work);
  return std::make_unique<PlainRepeat>(std::move(work));
}

}  // namespace temper
