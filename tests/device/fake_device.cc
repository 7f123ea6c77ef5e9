#include "device/fake_device.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <sys/mman.h>
#include <torch/library.h>

#include <cstring>
#include <mutex>
#include <vector>

namespace temper::fake {
namespace {

constexpr size_t kArena = size_t{1} << 36;  // address space alone; pages come when they are touched

char* reserve(int access) {
  return static_cast<char*>(
      mmap(nullptr, kArena, access, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
}
char* device_base() {
  static char* const base = reserve(PROT_NONE);
  return base;
}
// Where the bytes of a device address are.
void* bytes_of(const void* address) {
  static char* const base = reserve(PROT_READ | PROT_WRITE);
  return address == nullptr ? nullptr : base + (static_cast<const char*>(address) - device_base());
}

class Memory final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    const c10::Device device(c10::kPrivateUse1, 0);
    if (bytes == 0) return {nullptr, nullptr, &release, device};
    counters().largest = std::max(counters().largest, static_cast<int64_t>(bytes));
    const size_t size = (bytes + 255) / 256 * 256;
    const std::lock_guard<std::mutex> lock(mutex_);
    char* address = nullptr;
    auto& free = free_[size];
    if (!free.empty()) {
      address = free.back();
      free.pop_back();
    } else {
      TORCH_CHECK(next_ + size <= kArena, "fake device: out of address space");
      address = device_base() + next_;
      next_ += size;
    }
    size_of_[address] = size;
    std::memset(bytes_of(address), 0x7f, size);  // what is read before it is written is 3.4e38
    return {address, address, &release, device};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t count) const override {
    std::memcpy(bytes_of(to), bytes_of(from), count);
  }
  static Memory& one() {
    static auto* const memory = new Memory;  // tensors may outlive every static object
    return *memory;
  }

 private:
  static void release(void* address) {
    if (address == nullptr) return;
    const std::lock_guard<std::mutex> lock(one().mutex_);
    one().free_[one().size_of_.at(address)].push_back(static_cast<char*>(address));
    one().size_of_.erase(address);
  }

  std::mutex mutex_;
  size_t next_ = 0;
  std::map<size_t, std::vector<char*>> free_;
  std::map<void*, size_t> size_of_;
};

c10::Device only_device() {
  return {c10::kPrivateUse1, 0};
}
c10::Stream only_stream() {
  return c10::Stream(c10::Stream::DEFAULT, only_device());
}

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return c10::kPrivateUse1; }
  c10::Device exchangeDevice(c10::Device) const override { return only_device(); }
  c10::Device getDevice() const override { return only_device(); }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const override { return only_stream(); }
  c10::Stream getDefaultStream(c10::Device) const override { return only_stream(); }
  c10::Stream exchangeStream(c10::Stream) const override { return only_stream(); }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  // The autograd engine records events when a gradient crosses streams.
  void record(void**, const c10::Stream&, c10::DeviceIndex, c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void synchronizeEvent(void*) const override {}
  void synchronizeDevice(c10::DeviceIndex) const override {}
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard)

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(c10::DeviceIndex) const override {}
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const override { return 0; }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const override { return 0; }
  at::Device getDeviceFromPtr(void*) const override { return only_device(); }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    return at::detail::getDefaultCPUGenerator();  // at::manual_seed seeds every accelerator
  }
  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t bytes) const override {
    c10::DataPtr fresh = Memory::one().allocate(bytes);
    const size_t kept = std::min(bytes, storage.nbytes());
    if (kept > 0) std::memcpy(bytes_of(fresh.get()), bytes_of(storage.data()), kept);
    storage.set_data_ptr_noswap(std::move(fresh));
    storage.set_nbytes(bytes);
  }
};

at::Tensor empty(c10::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                 std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, &Memory::one(), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   c10::dtype_or_default(dtype), format);
}
at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<at::ScalarType> dtype,
                         std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, &Memory::one(),
                                           c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                           c10::dtype_or_default(dtype));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  if (from.is_cpu()) ++counters().to_device;
  if (to.is_cpu()) ++counters().to_host;
  at::Tensor target = on_host_memory(to);
  target.copy_(on_host_memory(from).resolve_neg());
  return to;
}
at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  to.resize_(from.sizes());
  return copy_from(from, to, false);
}
at::Scalar read_scalar(const at::Tensor& t) {
  ++counters().scalars_read;
  return on_host_memory(t).item();
}

// As CUDA's kernels: a number (0 dimensions) of the host may join in, and so may the host's indices in x[i],
// which CUDA copies.
void check_devices(const c10::OperatorHandle& op, const torch::jit::Stack& stack) {
  const std::string& name = op.schema().operator_name().name;
  if (name.rfind("aten::index", 0) == 0 && name.find('_') == std::string::npos) return;
  const auto check = [&](const at::Tensor& t) {
    TORCH_CHECK(!t.defined() || t.is_privateuseone() || t.dim() == 0, name,
                ": expected all tensors on the fake device, found one of ", t.sizes(), " on ", t.device());
  };
  for (size_t i = stack.size() - op.schema().arguments().size(); i < stack.size(); ++i) {
    const c10::IValue& value = stack[i];
    if (value.isTensor()) check(value.toTensor());
    if (value.isTensorList())
      for (const at::Tensor& t : value.toTensorVector()) check(t);
  }
}

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  check_devices(op, *stack);
  count(op.schema().operator_name().name);
  // The fallback's own copies are no part of what is counted.
  const int64_t to_device = counters().to_device, to_host = counters().to_host;
  at::native::cpu_fallback(op, stack, /*error_on_views=*/true);
  counters().to_device = to_device;
  counters().to_host = to_host;
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("as_strided", &at::native::as_strided_tensorimpl);
  m.impl("view", &at::native::view);
  m.impl("_reshape_alias", &at::native::_reshape_alias);
  m.impl("resize_", &at::native::resize_);
  m.impl("set_.source_Storage", static_cast<at::Tensor& (*)(at::Tensor&, at::Storage)>(&at::native::set_));
  m.impl("_copy_from", &copy_from);
  m.impl("_copy_from_and_resize", &copy_from_and_resize);
  m.impl("_local_scalar_dense", &read_scalar);
}
TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>());
}

}  // namespace

at::Tensor on_host_memory(const at::Tensor& t) {
  if (!t.is_privateuseone()) return t;
  return at::from_blob(bytes_of(t.data_ptr()), t.sizes(), t.strides(), t.options().device(at::kCPU));
}

void count(const std::string& name) {
  ++counters().operators;
  ++counters().by_name[name];
}

Counters& counters() {
  static Counters one;
  return one;
}

void start() {
  static const bool once = [] {
    c10::register_privateuse1_backend("fake");
    c10::SetAllocator(c10::kPrivateUse1, &Memory::one());
    at::RegisterPrivateUse1HooksInterface(new Hooks);
    return true;
  }();
  (void)once;
}

}  // namespace temper::fake
