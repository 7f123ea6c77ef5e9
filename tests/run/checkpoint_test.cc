#include "run/checkpoint.h"

#include <ATen/ATen.h>
#include <sys/mount.h>

#include <chrono>
#include <ctime>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
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
void check_holds(const LoadedCheckpoint& loaded, int64_t step) {
  CHECK(loaded.state.step == step);
  REQUIRE(loaded.trainable.size() == 2);
  for (const auto& [name, tensor] : weights(step)) CHECK(at::equal(loaded.trainable.at(name), tensor));
  REQUIRE(loaded.optimizer.size() == 2);
  for (const auto& [name, tensor] : moments(step)) CHECK(at::equal(loaded.optimizer.at(name), tensor));
}
// The step of the checkpoint that is taken, which must hold what was written.
std::optional<int64_t> newest(const std::string& run) {
  return take_newest(list_checkpoints(run), [](LoadedCheckpoint loaded, const CheckpointInfo& info) {
    check_holds(loaded, info.step);
  });
}
void flip(const std::string& file, size_t bit) {
  std::string content = read_file(file);
  content.at(bit / 8) = static_cast<char>(content[bit / 8] ^ (1 << bit % 8));
  std::ofstream(file, std::ios::binary) << content;
}
std::string at_step(const std::string& run, int64_t step, const std::string& file) {
  return run + "/checkpoints/step-" + std::to_string(step) + "/" + file;
}

}  // namespace

TEST_CASE("a checkpoint gives back what was written, and the newest is found by number, not by name") {
  TempFolder folder;
  const std::string run = folder.path().string();
  CHECK(list_checkpoints(run).empty());
  CHECK_FALSE(newest(run).has_value());
  for (const int64_t step : {2, 9, 10}) write(run, step);
  fs::create_directories(run + "/checkpoints/step-12.tmp");  // a write that was cut short
  fs::create_directories(run + "/checkpoints/step-x");
  const auto all = list_checkpoints(run);
  REQUIRE(all.size() == 3);
  for (const CheckpointInfo& info : all) {
    CHECK(info.whole);
    CHECK(info.problem.empty());
    CHECK(info.done.bytes() > 0);
    check_holds(read_checkpoint(info), info.step);
  }
  CHECK(newest(run) == 10);
  write(run, 12);  // in spite of the leftover of the same name
  CHECK(newest(run) == 12);
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
  CHECK(newest(run) == 1);
  write(run, 2);  // the run gets there again
  CHECK(newest(run) == 2);
}

TEST_CASE("a flipped bit anywhere in a checkpoint is noticed, and the one before it is used") {
  TempFolder folder;
  const std::string run = folder.path().string();
  write(run, 1);
  write(run, 2);
  int noticed = 0;
  for (const char* name : {"trainable.safetensors", "optimizer.safetensors", "state.json", "DONE"}) {
    CAPTURE(name);
    const std::string file = at_step(run, 2, name), whole = read_file(file),
                      done = read_file(at_step(run, 2, "DONE"));
    for (size_t bit = 0; bit < 8 * whole.size(); bit += 61) {
      CAPTURE(bit);
      flip(file, bit);
      const auto found = newest(run);
      // White space between DONE's parts may change without a change of what it says.
      if (std::string(name) != "DONE") CHECK(found == 1);
      noticed += found == 1 ? 1 : 0;
      std::ofstream(file, std::ios::binary) << whole;
      std::ofstream(at_step(run, 2, "DONE"), std::ios::binary)
          << done;  // a checkpoint that was passed over is none
    }
  }
  CHECK(noticed > 60);
  CHECK(newest(run) == 2);
}

TEST_CASE("a checkpoint of before there were checksums is read; its damage is found where it is read") {
  TempFolder folder;
  const std::string run = folder.path().string();
  for (const int64_t step : {1, 2}) {
    write(run, step);
    Json files = Json::object();
    for (const char* name : {"trainable.safetensors", "optimizer.safetensors", "state.json"})
      files[name] = fs::file_size(at_step(run, step, name));
    std::ofstream(at_step(run, step, "DONE")) << Json{{"step", step}, {"files", files}}.dump();
  }
  CHECK(newest(run) == 2);
  SUBCASE("state.json is no JSON") {
    flip(at_step(run, 2, "state.json"), 8);
  }
  SUBCASE("the step is another") {
    std::string state = read_file(at_step(run, 2, "state.json"));
    state.replace(state.find("\"step\": 2"), 9, "\"step\": 1");
    std::ofstream(at_step(run, 2, "state.json")) << state;
  }
  SUBCASE("a header of tensors is no JSON") {
    flip(at_step(run, 2, "trainable.safetensors"), 8 * 8 + 1);
  }
  CHECK(newest(run) == 1);
}

TEST_CASE("a checkpoint that cannot be taken up is passed over; none that is whole is thrown away unused") {
  TempFolder folder;
  const std::string run = folder.path().string();
  for (const int64_t step : {1, 2, 3}) write(run, step);
  std::vector<int64_t> offered;
  const auto taken = take_newest(list_checkpoints(run), [&](LoadedCheckpoint, const CheckpointInfo& info) {
    offered.push_back(info.step);
    if (info.step > 1) user_error("has no tensor x of this run's shape");
  });
  CHECK(taken == 1);
  CHECK(offered == std::vector<int64_t>{3, 2, 1});
  CHECK(newest(run) == 1);  // what was passed over is no checkpoint any more
  prune_checkpoints(run, 1, std::nullopt);
  CHECK(list_checkpoints(run).size() == 1);
  const auto unfit = [](LoadedCheckpoint, const CheckpointInfo&) { user_error("has no tensor x"); };
  CHECK_THROWS_WITH_AS(take_newest(list_checkpoints(run), unfit), doctest::Contains("has no tensor x"),
                       UserError);
  CHECK(newest(run) == 1);
  flip(at_step(run, 1, "trainable.safetensors"), 8 * 20);
  CHECK_FALSE(newest(run).has_value());
}

TEST_CASE("what checksums cost a checkpoint of 1 GB" * doctest::skip()) {
  TempFolder folder;
  const std::string run = folder.path().string();
  const auto seconds = [](const auto& body) {  // passed, and of the processor
    const auto start = std::chrono::steady_clock::now();
    const std::clock_t used = std::clock();
    body();
    return fmt::format("{:.2f} s ({:.2f} s of the processor)",
                       std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
                       static_cast<double>(std::clock() - used) / CLOCKS_PER_SEC);
  };
  RunState state;
  state.step = 1;
  const NamedTensors large = {{"a.weight", at::randn({250, 1000, 1000}, at::kFloat)}};
  const std::string write = seconds([&] { write_checkpoint(run, state, large, {}); });
  const auto info = list_checkpoints(run).at(0);
  const std::string check = seconds([&] { check_content(info.folder, info.done); });
  MESSAGE("1 GB: written, synced and checksummed in " << write << ", the checksums alone " << check);
}

TEST_CASE("pruning keeps the newest whole ones and the best, and removes broken ones") {
  TempFolder folder;
  const std::string run = folder.path().string();
  for (int64_t step = 0; step <= 6; ++step) write(run, step);
  fs::remove(at_step(run, 5, "DONE"));
  prune_checkpoints(run, 2, 3);
  std::vector<int64_t> left;
  for (const CheckpointInfo& info : list_checkpoints(run)) left.push_back(info.step);
  CHECK(left == std::vector<int64_t>{3, 4, 6});
  prune_checkpoints(run, 1, std::nullopt);
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
    // step-1; the iterator, a temporary, keeps no folder open that would hold the disk.
    CHECK(std::distance(fs::directory_iterator(disk + "/checkpoints"), fs::directory_iterator()) == 1);
    CHECK(newest(disk) == 1);
    write(disk, 3);  // the failed one gave its room back
    CHECK(newest(disk) == 3);
    CHECK(::umount(disk.c_str()) == 0);
  }
  const std::string run = (folder / "run").string();
  fs::create_directories(run);
  std::ofstream(run + "/checkpoints") << "a file where the folder should be";
  CHECK_THROWS_WITH_AS(write(run, 1), doctest::Contains("checkpoints"), UserError);
}
