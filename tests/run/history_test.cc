#include "run/history.h"

#include <cmath>
#include <limits>

#include "base/error.h"
#include "run/state.h"
#include "temp_folder.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

constexpr double kNull = std::numeric_limits<double>::quiet_NaN();

History example() {
  History history;
  history[7].add("a.jsonl:8", {1, 0, kNull});
  history[7].add("a.jsonl:8", {1, 1, 1});
  history[7].add("a.jsonl:8", {kNull});
  history[2].add("a.jsonl:3", {kNull, kNull});
  return history;
}

}  // namespace

TEST_CASE("history: what a record gave, as a file that people read") {
  const TempFolder folder;
  write_history(folder.text(), {});
  CHECK_FALSE(std::filesystem::exists(folder / "prompts.jsonl"));
  write_history(folder.text(), example());
  // 7: a mean of 1/2, then one of 1, then nothing that could be scored.
  CHECK(folder.read("prompts.jsonl") ==
        "{\"record\":\"a.jsonl:3\",\"draws\":1,\"last\":[null,null],\"mean\":null}\n"
        "{\"record\":\"a.jsonl:8\",\"draws\":3,\"last\":[null],\"mean\":0.75}\n");
}

TEST_CASE("history: it goes through a checkpoint, and older ones have none") {
  RunState state;
  state.history = example();
  state.order = {{"solved", {1, 2}}};
  const Json json = parse_json(dump_line(state.to_json()), "state");
  RunState again = RunState::from_json(json, "state.json");
  CHECK(again.order == state.order);
  CHECK(to_json(again.history) == to_json(state.history));
  again.history[7].add("a.jsonl:8", {0});
  state.history[7].add("a.jsonl:8", {0});
  CHECK(again.history[7].mean == 0.5);
  CHECK(again.history[7].mean == state.history[7].mean);

  Json older = json;
  older.erase("order");
  older.erase("history");
  CHECK(RunState::from_json(older, "state.json").history.empty());
  Json odd = json;
  odd["history"] = {{1, 2}};
  CHECK(has(problem([&] { RunState::from_json(odd, "state.json"); }), "state.json: not a run state"));
  odd["history"] = 3;
  CHECK(
      has(problem([&] { RunState::from_json(odd, "state.json"); }), "history: expected array, found number"));
}
