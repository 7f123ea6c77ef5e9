// The preset "tsan" alone: LibTorch's libgomp is not instrumented, so ThreadSanitizer does not see that a
// parallel region begins after what stands before it and ends before what stands behind, and would call every
// at::parallel_for a race. This GOMP_parallel stands in front of libgomp's and tells it both; two threads of
// one region are still judged.
#include <dlfcn.h>

extern "C" {
void __tsan_acquire(void* at);
void __tsan_release(void* at);
}

namespace {

struct Region {
  void (*body)(void*);
  void* data;
  char begin = 0, end = 0;  // only their addresses count
};

void run(void* at) {
  Region& region = *static_cast<Region*>(at);
  __tsan_acquire(&region.begin);
  region.body(region.data);
  __tsan_release(&region.end);
}

}  // namespace

extern "C" void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags) {
  using Parallel = void (*)(void (*)(void*), void*, unsigned, unsigned);
  static const auto libgomp = reinterpret_cast<Parallel>(::dlsym(RTLD_NEXT, "GOMP_parallel"));
  Region region{body, data};
  __tsan_release(&region.begin);
  libgomp(run, &region, threads, flags);
  __tsan_acquire(&region.end);
}
