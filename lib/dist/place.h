// Which of how many processes this one is.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace temper {

struct Place {
  int64_t rank = 0, world = 1;              // of all processes of the run
  int64_t local_rank = 0, local_world = 1;  // of those on this machine
  std::string address;  // of the process that keeps the store: rank 0, or torchrun's agent
  int64_t port = 0;
  bool agent_keeps_store = false;
  int64_t attempt = 0;  // how often the run has been started again before
};

using Variables = std::function<std::optional<std::string>(const std::string& name)>;
Variables process_variables();

// From the variables of torchrun and of temper-train --ranks (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR ...),
// of Slurm's srun (SLURM_PROCID ...) or of Open MPI's mpirun (OMPI_COMM_WORLD_RANK ...); with none of these,
// one process alone. Slurm and MPI name no port: MASTER_PORT, or 29500, and MASTER_ADDR where there are
// several machines. Throws UserError for what is no number, is missing, or does not fit together.
Place find_place(const Variables& environment);

// What CUDA_VISIBLE_DEVICES should be for this process, so that each of a machine's processes sees a GPU of
// its own as the first: its part of `visible`, the variable's value now, "" where that names fewer GPUs than
// there are processes. None: as it is (one process on this machine, or a launcher that gave each its own).
std::optional<std::string> own_gpu(const Place& place, const std::optional<std::string>& visible);

}  // namespace temper
