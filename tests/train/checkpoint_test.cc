#include "train/checkpoint.h"

#include <ATen/ATen.h>
#include <sys/mount.h>

#include "base/error.h"
#include "temp_folder.h"
#include "test.h"

using namespace temper;
namespace fs = std::filesystem;

namespace {

NamedTensors weights(int64_t step) {
  return {{"a.weight", at::full({3, 4}, static_cast<double>(step), at::kFloat)},
          {"b.bias", at::arange(5, at::kFloat) + static_cast<double>(step)}};
}
std::map<std::string, at::Tensor> moments(int64_t step) {
  return {{"a.weight.m", at::full({3, 4}, 0.5 * static_cast<double>(step), at::kFloat)},
          {"a.weight.steps", at::tensor({step}, at::kLong)}};
}
void write(const std::string& run, int64_t step) {
  RunState state;
  state.step = step;
  write_checkpoint(run, state, weights(step), moments(step));
}
void check_holds(const CheckpointInfo& info, int64_t step) {
  const LoadedCheckpoint loaded = read_checkpoint(info);
  CHECK(loaded.state.step == step);
  REQUIRE(loaded.trainable.size() == 2);
  for (const auto& [name, tensor] : weights(step)) CHECK(at::equal(loaded.trainable.at(name), tensor));
  REQUIRE(loaded.optimizer.size() == 2);
  for (const auto& [name, tensor] : moments(step)) CHECK(at::equal(loaded.optimizer.at(name), tensor));
}
std::string at_step(const std::string& run, int64_t step, const std::string& file) {
  return run + "/checkpoints/step-" + std::to_string(step) + "/" + file;
}

}  // namespace

TEST_CASE("a checkpoint gives back what was written, and the newest is found by number, not by name") {
  TempFolder folder;
  const std::string run = folder.path().string();
  CHECK(list_checkpoints(run).empty());
  CHECK_FALSE(newest_checkpoint(run).has_value());
  for (const int64_t step : {2, 9, 10}) write(run, step);
  fs::create_directories(run + "/checkpoints/step-12.tmp");  // a write that was cut short
  fs::create_directories(run + "/checkpoints/step-x");
  const auto all = list_checkpoints(run);
  REQUIRE(all.size() == 3);
  for (const CheckpointInfo& info : all) {
    CHECK(info.whole);
    CHECK(info.problem.empty());
    CHECK(info.bytes > 0);
    check_holds(info, info.step);
  }
  const auto newest = newest_checkpoint(run);
  REQUIRE(newest.has_value());
  CHECK(newest->step == 10);
  write(run, 12);  // in spite of the leftover of the same name
  CHECK(newest_checkpoint(run)->step == 12);
}

TEST_CASE("a damaged checkpoint is passed over for the one before it, and says why") {
  TempFolder folder;
  const std::string run = folder.path().string();
  write(run, 1);
  std::string expected;
  SUBCASE("without DONE") {
    write(run, 2);
    fs::remove(at_step(run, 2, "DONE"));
    expected = "DONE";
  }
  SUBCASE("an empty DONE") {
    write(run, 2);
    fs::resize_file(at_step(run, 2, "DONE"), 0);
    expected = "DONE";
  }
  SUBCASE("a DONE cut short") {
    write(run, 2);
    fs::resize_file(at_step(run, 2, "DONE"), 20);
    expected = "DONE";
  }
  SUBCASE("a DONE that lists too little") {
    write(run, 2);
    std::ofstream(at_step(run, 2, "DONE")) << "{\"step\": 2, \"files\": {}}";
    expected = "state.json";
  }
  SUBCASE("a DONE of other types") {
    write(run, 2);
    std::ofstream(at_step(run, 2, "DONE")) << "{\"step\": 2, \"files\": {\"state.json\": \"many\"}}";
  }
  SUBCASE("a truncated file") {
    write(run, 2);
    const std::string file = at_step(run, 2, "optimizer.safetensors");
    fs::resize_file(file, fs::file_size(file) - 1);
    expected = "optimizer.safetensors";
  }
  SUBCASE("a file that grew") {
    write(run, 2);
    std::ofstream(at_step(run, 2, "state.json"), std::ios::app) << " ";
    expected = "state.json";
  }
  SUBCASE("a missing file") {
    write(run, 2);
    fs::remove(at_step(run, 2, "trainable.safetensors"));
    expected = "trainable.safetensors";
  }
  const auto all = list_checkpoints(run);
  REQUIRE(all.size() == 2);
  CHECK(all[0].whole);
  CHECK_FALSE(all[1].whole);
  CHECK(all[1].problem.find(expected) != std::string::npos);
  CHECK_FALSE(all[1].problem.empty());
  const auto newest = newest_checkpoint(run);
  REQUIRE(newest.has_value());
  check_holds(*newest, 1);
  write(run, 2);  // the run gets there again
  check_holds(*newest_checkpoint(run), 2);
}

TEST_CASE("pruning keeps the newest whole ones and the best, and removes broken ones") {
  TempFolder folder;
  const std::string run = folder.path().string();
  for (int64_t step = 1; step <= 6; ++step) write(run, step);
  fs::remove(at_step(run, 5, "DONE"));
  prune_checkpoints(run, 2, 3);
  std::vector<int64_t> left;
  for (const CheckpointInfo& info : list_checkpoints(run)) left.push_back(info.step);
  CHECK(left == std::vector<int64_t>{3, 4, 6});
  prune_checkpoints(run, 1, 0);
  REQUIRE(list_checkpoints(run).size() == 1);
  CHECK(list_checkpoints(run)[0].step == 6);
}

TEST_CASE("a checkpoint that cannot be written leaves the earlier ones as they are") {
  TempFolder folder;
  // A disk of half a megabyte, where this process may mount one.
  const std::string disk = (folder / "disk").string();
  fs::create_directories(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=512k") != 0) {
    MESSAGE("not allowed to mount a small disk; only the folder that is a file is tried");
  } else {
    write(disk, 1);
    RunState state;
    state.step = 2;
    const NamedTensors large = {{"a.weight", at::zeros({1 << 20}, at::kFloat)}};
    CHECK_THROWS_WITH_AS(write_checkpoint(disk, state, large, {}), doctest::Contains("No space left"),
                         UserError);
    CHECK_FALSE(fs::exists(disk + "/checkpoints/step-2.tmp"));
    const auto newest = newest_checkpoint(disk);
    CHECK(newest.has_value());
    if (newest) check_holds(*newest, 1);
    write(disk, 3);  // the failed one gave its room back
    CHECK(newest_checkpoint(disk)->step == 3);
    ::umount(disk.c_str());
  }
  const std::string run = (folder / "run").string();
  fs::create_directories(run);
  std::ofstream(run + "/checkpoints") << "a file where the folder should be";
  CHECK_THROWS_WITH_AS(write(run, 1), doctest::Contains("checkpoints"), UserError);
}
