#include "dist/place.h"

#include <charconv>
#include <cstdlib>
#include <sstream>
#include <vector>

#include "base/error.h"

namespace temper {
namespace {

constexpr int64_t kPort = 29500;  // torch's default

class Reader {
 public:
  explicit Reader(const Variables& environment) : environment_(environment) {}

  bool has(const std::string& name) const { return environment_(name).has_value(); }
  std::string text(const std::string& name, const std::string& otherwise) const {
    return environment_(name).value_or(otherwise);
  }
  int64_t number(const std::string& name, std::optional<int64_t> otherwise = std::nullopt) const {
    const auto found = environment_(name);
    if (!found) {
      if (!otherwise) user_error("environment: {} is missing beside the others that a launcher sets", name);
      return *otherwise;
    }
    int64_t value = 0;
    const char* end = found->data() + found->size();
    const auto result = std::from_chars(found->data(), end, value);
    if (result.ec != std::errc() || result.ptr != end || value < 0)
      user_error("environment: {}: expected a number, found \"{}\"", name, *found);
    return value;
  }

 private:
  const Variables& environment_;
};

// "4(x2),3": the first machine's. Slurm gives tasks out in blocks unless told otherwise.
int64_t first_count(const std::string& counts, int64_t otherwise) {
  int64_t value = 0;
  const auto result = std::from_chars(counts.data(), counts.data() + counts.size(), value);
  return result.ec == std::errc() ? value : otherwise;
}

}  // namespace

Variables process_variables() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value == nullptr || *value == '\0' ? std::nullopt : std::optional<std::string>(value);
  };
}

Place find_place(const Variables& environment) {
  const Reader read(environment);
  Place place;
  std::string launcher;
  if (read.has("RANK") || read.has("WORLD_SIZE")) {
    launcher = "torchrun";
    place.rank = read.number("RANK");
    place.world = read.number("WORLD_SIZE");
    place.local_rank = read.number("LOCAL_RANK", 0);
    place.local_world = read.number("LOCAL_WORLD_SIZE", 1);
    const std::string agent = read.text("TORCHELASTIC_USE_AGENT_STORE", "");
    place.agent_keeps_store = agent == "True" || agent == "1";
    place.attempt = read.number("TORCHELASTIC_RESTART_COUNT", 0);
  } else if (read.has("OMPI_COMM_WORLD_RANK")) {
    launcher = "mpirun";
    place.rank = read.number("OMPI_COMM_WORLD_RANK");
    place.world = read.number("OMPI_COMM_WORLD_SIZE");
    place.local_rank = read.number("OMPI_COMM_WORLD_LOCAL_RANK", 0);
    place.local_world = read.number("OMPI_COMM_WORLD_LOCAL_SIZE", 1);
  } else if (read.has("SLURM_PROCID") && read.number("SLURM_NTASKS", 1) > 1) {
    // A job of one task, such as an interactive shell, has these variables too.
    launcher = "srun";
    place.rank = read.number("SLURM_PROCID");
    place.world = read.number("SLURM_NTASKS");
    place.local_rank = read.number("SLURM_LOCALID", 0);
    place.local_world = first_count(read.text("SLURM_STEP_TASKS_PER_NODE", ""), place.world);
    place.attempt = read.number("SLURM_RESTART_COUNT", 0);
  }
  if (place.world < 1 || place.rank >= place.world)
    user_error("environment of {}: rank {} of {} ranks", launcher, place.rank, place.world);
  if (place.world == 1) return Place();
  if (place.local_world < 1) place.local_world = 1;
  const bool one_machine = place.local_world >= place.world;
  if (!read.has("MASTER_ADDR") && !one_machine) {
    user_error(
        "environment of {}: {} ranks on several machines; set MASTER_ADDR to the name of rank 0's machine",
        launcher, place.world);
  }
  place.address = read.text("MASTER_ADDR", "127.0.0.1");
  place.port = read.number("MASTER_PORT", kPort);
  if (place.port < 1 || place.port > 65535) user_error("environment: MASTER_PORT: {} is no port", place.port);
  return place;
}

std::optional<std::string> own_gpu(const Place& place, const std::optional<std::string>& visible) {
  if (place.local_world == 1) return std::nullopt;
  if (!visible) return std::to_string(place.local_rank);
  std::vector<std::string> gpus;
  std::istringstream in(*visible);
  for (std::string gpu; std::getline(in, gpu, ',');) gpus.push_back(gpu);
  if (gpus.size() == 1) return std::nullopt;
  const auto own = static_cast<size_t>(place.local_rank);
  return own < gpus.size() ? gpus[own] : "";
}

}  // namespace temper
