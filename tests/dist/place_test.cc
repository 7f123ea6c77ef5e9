#include "dist/place.h"

#include <map>

#include "base/error.h"
#include "test.h"

using namespace temper;

namespace {

Place found(const std::map<std::string, std::string>& variables) {
  return find_place([&](const std::string& name) -> std::optional<std::string> {
    const auto it = variables.find(name);
    return it == variables.end() ? std::nullopt : std::optional(it->second);
  });
}

}  // namespace

TEST_CASE("place: what each launcher says") {
  CHECK(found({}).world == 1);
  const Place torchrun = found({{"RANK", "5"},
                                {"WORLD_SIZE", "8"},
                                {"LOCAL_RANK", "1"},
                                {"LOCAL_WORLD_SIZE", "4"},
                                {"MASTER_ADDR", "node-0"},
                                {"MASTER_PORT", "1234"},
                                {"TORCHELASTIC_USE_AGENT_STORE", "True"},
                                {"TORCHELASTIC_RESTART_COUNT", "2"}});
  CHECK(torchrun.rank == 5);
  CHECK(torchrun.world == 8);
  CHECK(torchrun.local_rank == 1);
  CHECK(torchrun.local_world == 4);
  CHECK(torchrun.address == "node-0");
  CHECK(torchrun.port == 1234);
  CHECK(torchrun.agent_keeps_store);
  CHECK(torchrun.attempt == 2);
  const Place slurm = found({{"SLURM_PROCID", "3"},
                             {"SLURM_NTASKS", "4"},
                             {"SLURM_LOCALID", "1"},
                             {"SLURM_STEP_TASKS_PER_NODE", "2(x2)"},
                             {"MASTER_ADDR", "node-7"}});
  CHECK(slurm.rank == 3);
  CHECK(slurm.local_world == 2);
  CHECK(slurm.port == 29500);
  CHECK_FALSE(slurm.agent_keeps_store);
  CHECK(found({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "1"}}).world == 1);  // an interactive job
  const Place mpi = found({{"OMPI_COMM_WORLD_RANK", "1"},
                           {"OMPI_COMM_WORLD_SIZE", "2"},
                           {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                           {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}});
  CHECK(mpi.rank == 1);
  CHECK(mpi.address == "127.0.0.1");
}

TEST_CASE("place: each process of a machine sees a GPU of its own") {
  const auto own = [](int64_t rank, int64_t world, std::optional<std::string> visible) {
    return own_gpu({.rank = rank, .world = 8, .local_rank = rank, .local_world = world}, visible);
  };
  CHECK(own(2, 4, std::nullopt) == "2");
  CHECK(own(1, 2, "4,6,7") == "6");
  CHECK(own(1, 2, "GPU-ab,GPU-cd") == "GPU-cd");
  CHECK(own(3, 4, "5") == std::nullopt);  // the launcher gave each its own
  CHECK(own(0, 1, std::nullopt) == std::nullopt);
  CHECK(own(2, 3, "0,1") == "");  // none is left
}

TEST_CASE("place: what does not fit together is one clear error") {
  const std::pair<std::map<std::string, std::string>, const char*> wrong[] = {
      {{{"RANK", "0"}}, "WORLD_SIZE is missing"},
      {{{"RANK", "2"}, {"WORLD_SIZE", "2"}}, "rank 2 of 2 ranks"},
      {{{"RANK", "-1"}, {"WORLD_SIZE", "2"}}, "RANK: expected a number, found \"-1\""},
      {{{"RANK", "0"}, {"WORLD_SIZE", "two"}}, "WORLD_SIZE: expected a number"},
      {{{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"LOCAL_WORLD_SIZE", "1"}}, "set MASTER_ADDR"},
      {{{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "70000"}},
       "70000 is no port"}};
  for (const auto& [variables, text] : wrong) {
    CAPTURE(text);
    CHECK_THROWS_WITH_AS(found(variables), doctest::Contains(text), UserError);
  }
}
