#include "tensor/safetensors.h"

#include <ATen/ATen.h>

#include <fstream>

#include "base/error.h"
#include "base/file.h"
#include "temp_folder.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

void put(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string with_header(const std::string& header, size_t data_bytes) {
  const uint64_t n = header.size();
  return std::string(reinterpret_cast<const char*>(&n), 8) + header + std::string(data_bytes, '\1');
}

// The message of the UserError that opening and reading the file gives; "" when there is none.
std::string safetensors_refusal(const std::string& bytes) {
  const TempFolder folder;
  put(folder.text("x.safetensors"), bytes);
  try {
    const SafetensorsFile file(folder.text("x.safetensors"));
    for (const auto& info : file.tensors()) file.tensor(info).clone();
  } catch (const UserError& e) {
    CHECK(std::string(e.what()).find('\n') == std::string::npos);
    CHECK(std::string(e.what()).size() < 600);
    return e.what();
  }
  return "";
}

const char* const kGood =
    R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}})";

}  // namespace

TEST_CASE("safetensors: every dtype, views, scalars and empty tensors survive a round trip") {
  const TempFolder folder;
  at::manual_seed(3);
  const at::Tensor base = at::randn({6, 5});
  const NamedTensors tensors = {{"view", base.t()},
                                {"strided", base.slice(1, 0, 5, 2)},
                                {"f64", base.to(at::kDouble)},
                                {"f16", base.to(at::kHalf)},
                                {"bf16", base.to(at::kBFloat16)},
                                {"i64", at::arange(-3, 4)},
                                {"i32", at::arange(5, at::kInt)},
                                {"i16", at::arange(5, at::kShort)},
                                {"i8", at::arange(-5, 0, at::kChar)},
                                {"u8", at::arange(7, at::kByte)},
                                {"bool", base > 0},
                                {"scalar", at::scalar_tensor(2.5)},
                                {"empty", at::empty({0, 4})},
                                {"naïve \"name\"\n", at::ones({1})}};
  write_safetensors(folder.text("m.safetensors"), tensors, {{"format", "pt"}, {"note", "x"}});
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);
  const SafetensorsFile file(folder.text("m.safetensors"));
  CHECK(file.metadata().at("note") == "x");
  CHECK(file.tensors().size() == tensors.size());
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor read = file.tensor(name);
    CHECK((read.scalar_type() == tensor.scalar_type()));
    CHECK((read.sizes() == tensor.sizes()));
    CHECK(read.equal(tensor));
  }
  CHECK_THROWS_AS(file.tensor("absent"), UserError);
}

TEST_CASE("safetensors: a mapped tensor outlives its file object, and released pages come back") {
  const TempFolder folder;
  const at::Tensor big = at::arange(1 << 16, at::kFloat);
  write_safetensors(folder.text("m.safetensors"), NamedTensors{{"big", big}});
  at::Tensor read;
  {
    const SafetensorsFile file(folder.text("m.safetensors"));
    read = file.tensor("big");
    file.release(*file.find("big"));
  }
  fs::remove(folder.text("m.safetensors"));
  CHECK(read.equal(big));
}

TEST_CASE("safetensors: reads what the Python package wrote, and writes the same bytes") {
  const TempFolder folder;
  const SafetensorsFile file(test_file("tensor/golden/python.safetensors"));
  NamedTensors tensors;
  for (const auto& info : file.tensors()) tensors.emplace_back(info.name, file.tensor(info));
  std::reverse(tensors.begin(), tensors.end());
  CHECK(tensors.size() == 8);
  CHECK(file.tensor("w.f32").equal(at::arange(12, at::kFloat).view({3, 4}) / 8));
  CHECK(file.tensor("w.bf16").to(at::kFloat).equal(at::arange(6, at::kFloat).view({2, 3}) - 2));
  write_safetensors(folder.text("again.safetensors"), tensors, file.metadata());
  CHECK(read_file(folder.text("again.safetensors")) ==
        read_file(test_file("tensor/golden/python.safetensors")));
}

TEST_CASE("safetensors: malformed files are refused in one line") {
  CHECK(safetensors_refusal(with_header(kGood, 11)) == "");
  CHECK(has(safetensors_refusal(""), "only 0 bytes"));
  CHECK(has(safetensors_refusal("1234567"), "only 7 bytes"));
  CHECK(has(safetensors_refusal(with_header(kGood, 11).substr(0, 40)), "header is"));
  CHECK(has(safetensors_refusal(std::string(8, '\xff') + "{}"), "header is"));
  CHECK(has(safetensors_refusal(with_header("", 0)), "does not begin"));
  CHECK(has(safetensors_refusal(with_header("[]", 0)), "does not begin"));
  CHECK(has(safetensors_refusal(with_header("{]", 0)), "not valid JSON"));
  CHECK(has(safetensors_refusal(with_header("{\"\xff\":1}", 0)), "not valid JSON"));
  CHECK(has(safetensors_refusal(with_header("{/* */}", 0)), "not valid JSON"));
  CHECK(has(safetensors_refusal(
                with_header("{\"a\":" + std::string(100000, '[') + std::string(100000, ']') + "}", 0)),
            "nested"));
  CHECK(has(safetensors_refusal(with_header("{\"a\":" + std::string(100000, '['), 0)), "nested"));
  CHECK(has(safetensors_refusal(with_header(kGood, 10)), "truncated"));
  CHECK(has(safetensors_refusal(with_header(kGood, 12)), "follow the last tensor"));
  CHECK(has(safetensors_refusal(with_header(R"({"a":3})", 0)), "expected an object with dtype"));
  CHECK(has(safetensors_refusal(with_header(R"({"a":{"dtype":"F32","shape":[2]}})", 8)),
            "expected an object with dtype"));
  CHECK(has(
      safetensors_refusal(with_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}})", 8)),
      "unknown key"));
  CHECK(has(safetensors_refusal(with_header(R"({"a":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}})", 8)),
            "F31"));
  CHECK(has(safetensors_refusal(with_header(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8)),
            "takes 12 bytes"));
  CHECK(has(safetensors_refusal(with_header(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8)),
            "non-negative"));
  CHECK(
      has(safetensors_refusal(with_header(R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", 8)),
          "non-negative"));
  CHECK(has(safetensors_refusal(with_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8)),
            "do not lie"));
  CHECK(
      has(safetensors_refusal(with_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12)),
          "gap"));
  CHECK(
      has(safetensors_refusal(with_header(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}})", 8)),
          "[begin, end]"));
  CHECK(has(safetensors_refusal(with_header(
                R"({"a":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]}})", 4)),
            "64 bits"));
  CHECK(has(safetensors_refusal(with_header(
                R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0)),
            "64 bits"));
  CHECK(has(safetensors_refusal(with_header(
                R"({"a":{"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}})", 0)),
            "64 bits"));
  CHECK(has(safetensors_refusal(
                with_header(R"({"a":{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,0]}})", 0)),
            "64 bits"));
  CHECK(has(
      safetensors_refusal(with_header(
          R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
          6)),
      "overlap"));
  CHECK(has(
      safetensors_refusal(with_header(
          R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[6,10]}})",
          10)),
      "gap"));
  CHECK(has(
      safetensors_refusal(with_header(
          R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
          2)),
      "twice"));
  CHECK(has(safetensors_refusal(with_header(R"({"__metadata__":{"k":1}})", 0)), "expected a string"));
  CHECK(has(safetensors_refusal(with_header(R"({"__metadata__":[]})", 0)), "__metadata__"));
  CHECK(has(safetensors_refusal(
                with_header("{\"a\":{\"dtype\":\"BOOL\",\"shape\":[1],\"data_offsets\":[0,1]}}", 0) + "\2"),
            "neither 0 nor 1"));
}

TEST_CASE("safetensors: any truncation and any flipped byte of a header is refused or read within bounds") {
  const std::string good = with_header(kGood, 11);
  for (size_t n = 0; n < good.size(); ++n) CHECK(safetensors_refusal(good.substr(0, n)) != "");
  for (size_t i = 0; i < good.size(); ++i) {
    for (const int bit : {1, 16, 128}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ bit);
      safetensors_refusal(bad);  // must not crash; some flips are harmless
    }
  }
}

TEST_CASE("safetensors: unaligned data is copied, not misread") {
  const TempFolder folder;
  std::string bytes = with_header(
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})",
      1);
  const float value = 1.25f;
  bytes += std::string(reinterpret_cast<const char*>(&value), 4);
  put(folder.text("x.safetensors"), bytes);
  CHECK(SafetensorsFile(folder.text("x.safetensors")).tensor("b").item<float>() == 1.25f);
}

TEST_CASE("safetensors: a failed write leaves the old file") {
  const TempFolder folder;
  write_safetensors(folder.text("m.safetensors"), NamedTensors{{"a", at::ones({2})}});
  auto fail = [](size_t) -> at::Tensor { user_error("no more"); };
  CHECK_THROWS_AS(write_safetensors(folder.text("m.safetensors"), {{"a", at::kFloat, {2}}}, fail), UserError);
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);
  CHECK(SafetensorsFile(folder.text("m.safetensors")).tensor("a").equal(at::ones({2})));
  if (fs::exists("/dev/full")) {
    fs::create_symlink("/dev/full", folder.text("full.safetensors"));
    CHECK_THROWS_AS(write_safetensors(folder.text("full.safetensors"), NamedTensors{{"a", at::ones({2})}}),
                    UserError);
  }
}

TEST_CASE("safetensors: shards and their index") {
  const TempFolder folder;
  const NamedTensors tensors = {
      {"a", at::ones({10})}, {"b", at::zeros({10})}, {"c", at::ones({30})}, {"d", at::ones({1})}};
  std::vector<TensorSpec> specs;
  for (const auto& [name, tensor] : tensors) specs.push_back({name, at::kBFloat16, tensor.sizes().vec()});
  auto produce = [&](size_t i) { return tensors[i].second; };
  write_safetensors_folder(folder.text(), specs, produce);
  CHECK(fs::exists(folder.text("model.safetensors")));
  write_safetensors_folder(folder.text(), specs, produce, 50);
  CHECK_FALSE(fs::exists(folder.text("model.safetensors")));
  CHECK(fs::exists(folder.text("model-00001-of-00003.safetensors")));
  CHECK(fs::exists(folder.text("model.safetensors.index.json")));
  const SafetensorsFolder files(folder.text());
  CHECK(files.names() == std::vector<std::string>{"a", "b", "c", "d"});
  for (const auto& [name, tensor] : tensors) CHECK(files.tensor(name).equal(tensor.to(at::kBFloat16)));

  const std::string index = folder.text("model.safetensors.index.json"), good = read_file(index);
  auto refused = [&](const std::string& from, const std::string& to) {
    std::string bad = good;
    bad.replace(bad.find(from), from.size(), to);
    put(index, bad);
    CHECK_THROWS_AS(SafetensorsFolder{folder.text()}, UserError);
  };
  refused("model-00001-of", "../model-00001-of");
  refused("\"a\"", "\"z\"");
  refused("\"weight_map\"", "\"map\"");
  refused("model-00003-of-00003.safetensors", "model-00001-of-00003.safetensors");
  write_safetensors_folder(folder.text(), specs, produce);
  CHECK(fs::exists(folder.text("model.safetensors")));
  CHECK_FALSE(fs::exists(index));
  CHECK_FALSE(fs::exists(folder.text("model-00001-of-00003.safetensors")));
}
