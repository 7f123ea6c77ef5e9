#include "model/generation.h"

#include "base/error.h"
#include "base/json.h"
#include "temp_folder.h"
#include "test.h"

using namespace temper;

TEST_CASE("generation config: end ids join in front, the rest stays") {
  const TempFolder folder;
  CHECK(stored_end_ids(folder.text()).empty());
  CHECK(read_generation_config("") == Json::object());
  CHECK(join_ids({2, 7, 2}, {0, 7}) == std::vector<int64_t>{2, 0, 7});
  std::filesystem::create_directory(folder / "base");
  std::filesystem::create_directory(folder / "out");
  folder.write("base/generation_config.json",
               R"({"eos_token_id": 0, "do_sample": true, "temperature": 0.6})");
  folder.write("out/generation_config.json", R"({"bos_token_id": 1, "eos_token_id": 5})");
  CHECK(stored_end_ids(folder.text("base")) == std::vector<int64_t>{0});
  write_end_ids(folder.text("out"), folder.text("base"), {2, 0});
  CHECK(read_generation_config(folder.text("out")) ==
        Json({{"bos_token_id", 1}, {"eos_token_id", {2, 0}}, {"do_sample", true}, {"temperature", 0.6}}));
  write_end_ids(folder.text("out"), "", {2});
  CHECK(read_generation_config(folder.text("out"))["eos_token_id"] == 2);
  folder.write("base/generation_config.json", R"({"eos_token_id": ["a"]})");
  CHECK_THROWS_WITH_AS(stored_end_ids(folder.text("base")), doctest::Contains("expected a token id"),
                       UserError);
  folder.write("base/generation_config.json", "[]");
  CHECK_THROWS_WITH_AS(stored_end_ids(folder.text("base")), doctest::Contains("expected an object"),
                       UserError);
}
