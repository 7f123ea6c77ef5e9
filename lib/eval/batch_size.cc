#include "eval/batch_size.h"

#include <ATen/DeviceAccelerator.h>

#include <algorithm>
#include <fstream>
#include <string>

namespace temper {

int64_t batch_in_memory(const Model& model, const std::vector<GenerateRequest>& requests,
                        int64_t max_new_tokens, int64_t most, int64_t free_bytes) {
  const ModelConfig& c = model.config();
  const auto item = static_cast<int64_t>(c10::elementSize(model.precision().compute));
  const int64_t token = c.cached_numbers() * item;
  int64_t samples = 0, longest = 0;
  for (const GenerateRequest& r : requests) {
    samples += r.samples;
    longest = std::max(longest, static_cast<int64_t>(r.prompt.size()));
  }
  const int64_t shared =
      requests.empty() ? 1 : std::max<int64_t>(samples / static_cast<int64_t>(requests.size()), 1);
  const int64_t bytes = std::max<int64_t>(token * (max_new_tokens + longest / shared + 1), 1);
  const int64_t all = std::max<int64_t>(std::min(samples, most), 1);
  return free_bytes == 0 ? all : std::clamp<int64_t>(free_bytes / 2 / bytes, 1, all);
}

int64_t free_bytes(c10::Device device) {
  if (!device.is_cpu()) {
    const auto index = device.has_index() ? device.index() : c10::DeviceIndex(0);
    try {
      return static_cast<int64_t>(at::getDeviceAllocator(device.type())->getMemoryInfo(index).first);
    } catch (const c10::Error&) {  // not every allocator knows
      return 0;
    }
  }
  int64_t out = 0;
  std::ifstream memory("/proc/meminfo");
  for (std::string name, unit; memory >> name;) {
    int64_t kilobytes = 0;
    memory >> kilobytes;
    std::getline(memory, unit);
    if (name == "MemAvailable:") out = kilobytes * 1024;
  }
  std::ifstream limit("/sys/fs/cgroup/memory.max"), used("/sys/fs/cgroup/memory.current");
  int64_t most = 0, now = 0;
  if (limit >> most && used >> now)
    out = std::min(out, std::max<int64_t>(most - now, 0));  // "max" is no number
  return out;
}

}  // namespace temper
