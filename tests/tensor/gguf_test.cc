#include "tensor/gguf.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/file.h"
#include "temp_folder.h"
#include "tensor/safetensors.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

std::string golden() {
  return test_file("tensor/golden/types.gguf");
}

// Reads everything there is; the message of the UserError, "" when there is none.
std::string gguf_refusal(const std::string& bytes) {
  const TempFolder folder;
  const std::string path = folder.text() + "/x.gguf";
  std::ofstream(path, std::ios::binary) << bytes;
  try {
    const GgufFile file(path);
    for (const std::string& key : file.keys()) {
      for (int kind = 0; kind < 7; ++kind) {
        try {
          if (kind == 0) file.text(key);
          if (kind == 1) file.integer(key);
          if (kind == 2) file.number(key);
          if (kind == 3) file.boolean(key);
          if (kind == 4) file.texts(key);
          if (kind == 5) file.integers(key);
          if (kind == 6) file.numbers(key);
        } catch (const UserError&) {
        }
      }
    }
    for (const GgufTensor& t : file.tensors()) file.tensor(t);
  } catch (const UserError& e) {
    CHECK(std::string(e.what()).find('\n') == std::string::npos);
    return e.what();
  }
  return "";
}

struct Bytes {
  std::string data;
  template <class T>
  Bytes& put(T value) {
    data.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Bytes& text(const std::string& value) {
    put<uint64_t>(value.size());
    data += value;
    return *this;
  }
};

Bytes header(uint64_t tensors, uint64_t keys, uint32_t version = 3) {
  Bytes b;
  b.data = "GGUF";
  b.put<uint32_t>(version).put<uint64_t>(tensors).put<uint64_t>(keys);
  return b;
}

}  // namespace

TEST_CASE("gguf: every weight type equals the Python package's dequantisation, bit for bit") {
  const GgufFile file(golden());
  const SafetensorsFile expected(test_file("tensor/golden/types.safetensors"));
  CHECK(file.tensors().size() == 12);
  for (const GgufTensor& t : file.tensors()) {
    CAPTURE(t.name);
    CHECK(t.name == std::string("t.") + ggml_type_name(t.type));
    CHECK(file.tensor(t).equal(expected.tensor(t.name)));
  }
}

TEST_CASE("gguf: metadata of every type") {
  const GgufFile file(golden());
  CHECK(file.text("general.architecture") == "llama");
  CHECK(file.integer("v.u8") == 200);
  CHECK(file.integer("v.i8") == -100);
  CHECK(file.integer("v.u16") == 60000);
  CHECK(file.integer("v.i16") == -30000);
  CHECK(file.integer("v.u32") == 4000000000);
  CHECK(file.integer("v.i32") == -2000000000);
  CHECK(file.number("v.f32") == 1e-5);
  CHECK(file.number("v.i32") == -2e9);
  CHECK(file.boolean("v.bool"));
  CHECK(file.text("v.string") == "naïve ▁");
  CHECK(file.integer("v.u64") == int64_t{1} << 40);
  CHECK(file.integer("v.i64") == -(int64_t{1} << 40));
  CHECK(file.number("v.f64") == 0.1);
  CHECK(file.texts("v.strings") == std::vector<std::string_view>{"a", "", "▁b"});
  CHECK(file.integers("v.i32s") == std::vector<int64_t>{3, -4, 5});
  CHECK(file.numbers("v.f32s") == std::vector<double>{0.5, -1.5});
  CHECK_THROWS_AS(file.integer("v.string"), UserError);
  CHECK_THROWS_AS(file.text("v.u8"), UserError);
  CHECK_THROWS_AS(file.texts("v.i32s"), UserError);
  CHECK_THROWS_AS(file.text("absent"), UserError);
  CHECK_FALSE(file.has("absent"));
}

TEST_CASE("gguf: what is written is read back") {
  const TempFolder folder;
  at::manual_seed(1);
  const std::vector<at::Tensor> tensors = {at::randn({3, 5}), at::randn({7}).to(at::kBFloat16),
                                           at::randn({2, 2}).to(at::kHalf)};
  GgufWriter writer;
  writer.text("general.architecture", "llama");
  writer.u32("n", 7);
  writer.f32("eps", 1e-6f);
  writer.boolean("yes", true);
  writer.texts("words", {"a", "bc", ""});
  writer.f32s("scores", {-1.0f, 0.25f});
  writer.i32s("types", {1, 3});
  writer.tensor("a", GgmlType::kF32, {3, 5});
  writer.tensor("b", GgmlType::kBF16, {7});
  writer.tensor("c", GgmlType::kF16, {2, 2});
  writer.write(folder.text() + "/m.gguf", [&](size_t i) { return tensors[i]; });
  const GgufFile file(folder.text() + "/m.gguf");
  CHECK(file.integer("n") == 7);
  CHECK(file.number("eps") == 1e-6);
  CHECK(file.texts("words").size() == 3);
  CHECK(file.integers("types") == std::vector<int64_t>{1, 3});
  CHECK(file.numbers("scores") == std::vector<double>{-1.0, 0.25});
  for (size_t i = 0; i < 3; ++i) CHECK(file.tensor(file.tensors()[i]).equal(tensors[i].to(at::kFloat)));
}

TEST_CASE("gguf: hostile files are refused in one line") {
  CHECK(has(gguf_refusal(""), "does not begin with GGUF"));
  CHECK(has(gguf_refusal("GGML...."), "does not begin with GGUF"));
  CHECK(has(gguf_refusal("GGUF"), "ends inside the header"));
  CHECK(has(gguf_refusal(header(0, 0, 1).data), "version 1"));
  CHECK(has(gguf_refusal(header(0, 0, 0x03000000).data), "version"));
  CHECK(gguf_refusal(header(0, 0).data) == "");
  CHECK(has(gguf_refusal(header(0, 1ull << 60).data), "do not fit"));
  CHECK(has(gguf_refusal(header(1ull << 60, 0).data), "do not fit"));
  const std::string padding(64, '\0');
  CHECK(has(gguf_refusal(header(0, 1).put<uint64_t>(1ull << 63).data + padding), "a key is"));
  CHECK(has(gguf_refusal(header(0, 1).put<uint64_t>(1000).data + padding), "ends inside a key"));
  CHECK(has(gguf_refusal(header(0, 1).text("k").put<uint32_t>(13).data + padding), "unknown value type 13"));
  CHECK(has(gguf_refusal(header(0, 1).text("k").put<uint32_t>(8).put<uint64_t>(~0ull).data + padding),
            "ends inside a value"));
  CHECK(has(
      gguf_refusal(header(0, 1).text("k").put<uint32_t>(9).put<uint32_t>(6).put<uint64_t>(1ull << 62).data +
                   padding),
      "do not fit"));
  CHECK(has(
      gguf_refusal(header(0, 1).text("k").put<uint32_t>(9).put<uint32_t>(8).put<uint64_t>(1ull << 61).data +
                   padding),
      "do not fit"));
  Bytes nested = header(0, 1).text("k").put<uint32_t>(9);
  for (int i = 0; i < 1000; ++i) nested.put<uint32_t>(9).put<uint64_t>(1);
  CHECK(has(gguf_refusal(nested.data + padding), "nested"));
  Bytes twice = header(0, 2);
  for (int i = 0; i < 2; ++i) twice.text("k").put<uint32_t>(0).put<uint8_t>(1);
  CHECK(has(gguf_refusal(twice.data + padding), "stands twice"));
  CHECK(has(gguf_refusal(header(0, 1).text("general.alignment").put<uint32_t>(4).put<uint32_t>(0).data),
            "alignment"));

  auto tensor = [&](uint32_t dims, std::vector<uint64_t> shape, uint32_t type, uint64_t offset) {
    Bytes b = header(1, 0).text("t").put<uint32_t>(dims);
    for (const uint64_t size : shape) b.put<uint64_t>(size);
    b.put<uint32_t>(type).put<uint64_t>(offset);
    return gguf_refusal(b.data + std::string(256, '\0'));
  };
  CHECK(tensor(1, {32}, 0, 0) == "");
  CHECK(has(tensor(0, {}, 0, 0), "0 dimensions"));
  CHECK(has(tensor(5, {1, 1, 1, 1, 1}, 0, 0), "5 dimensions"));
  CHECK(has(tensor(1, {0}, 0, 0), "impossible dimension"));
  CHECK(has(tensor(2, {1ull << 39, 1ull << 39}, 0, 0), "impossible dimension"));
  CHECK(has(tensor(1, {1ull << 63}, 0, 0), "impossible dimension"));
  CHECK(has(tensor(1, {100000}, 0, 0), "does not lie"));
  CHECK(has(tensor(1, {8}, 0, ~0ull - 31), "does not lie"));
  CHECK(has(tensor(1, {8}, 0, 7), "does not lie"));
  CHECK(has(tensor(1, {33}, 2, 0), "no whole Q4_0 blocks"));
  CHECK(has(tensor(1, {256}, 10, 0), "ggml type 10"));
  CHECK(has(tensor(1, {32}, 77, 0), "ggml type 77"));
  Bytes overlap = header(2, 0);
  for (const char* name : {"a", "b"})
    overlap.text(name).put<uint32_t>(1).put<uint64_t>(8).put<uint32_t>(0).put<uint64_t>(0);
  CHECK(has(gguf_refusal(overlap.data + std::string(256, '\0')), "overlap"));
  Bytes same = header(2, 0);
  for (const uint64_t offset : {0, 32})
    same.text("a").put<uint32_t>(1).put<uint64_t>(8).put<uint32_t>(0).put<uint64_t>(offset);
  CHECK(has(gguf_refusal(same.data + std::string(256, '\0')), "stands twice"));
}

TEST_CASE("gguf: truncations and flipped bytes never crash") {
  const std::string good = read_file(golden());
  const size_t metadata = good.find("t.F32");
  for (size_t n = 0; n < good.size(); n += n < metadata ? 7 : 997)
    CHECK(gguf_refusal(good.substr(0, n)) != "");
  for (size_t i = 0; i < metadata + 1000; i += 3) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ (1 << (i / 3 % 8)));
    gguf_refusal(bad);
  }
}
