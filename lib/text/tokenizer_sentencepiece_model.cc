#include "text/tokenizer_sentencepiece_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_set>

#include "base/error.h"
#include "text/tokenizer_unicode.h"

namespace temper {
namespace {

// Walks the fields of one protocol buffer message.
class ProtoFields {
 public:
  ProtoFields(std::string_view message, const std::string& where) : rest_(message), where_(where) {}

  bool next() {
    if (rest_.empty()) return false;
    const char* begin = rest_.data();
    const uint64_t key = varint();
    number = key >> 3;
    wire = static_cast<int>(key & 7);
    if (wire == 0) {
      value = varint();
    } else if (wire == 1 || wire == 5) {
      bytes = take(wire == 1 ? 8 : 4);
    } else if (wire == 2) {
      bytes = take(varint());
    } else {
      broken();
    }
    whole = std::string_view(begin, static_cast<size_t>(rest_.data() - begin));
    return true;
  }
  float float_value() const {
    float out = 0;
    if (wire != 5) broken();
    std::memcpy(&out, bytes.data(), 4);
    return out;
  }
  std::string_view message() const {
    if (wire != 2) broken();
    return bytes;
  }

  uint64_t number = 0, value = 0;
  int wire = 0;
  std::string_view bytes, whole;  // whole: key and value as they stand in the file

 private:
  uint64_t varint() {
    uint64_t out = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      out |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return out;
    }
    broken();
  }
  std::string_view take(uint64_t n) {
    if (n > rest_.size()) broken();
    const std::string_view out = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return out;
  }
  [[noreturn]] void broken() const {
    user_error("{}: not a SentencePiece model, or a truncated one", where_);
  }

  std::string_view rest_;
  const std::string& where_;
};

SentencePieceModel::Piece parse_piece(std::string_view message, const std::string& where) {
  SentencePieceModel::Piece piece;
  for (ProtoFields f(message, where); f.next();) {
    if (f.number == 1) piece.text = f.message();
    if (f.number == 2) piece.score = f.float_value();
    if (f.number == 3) piece.type = static_cast<int>(std::min<uint64_t>(f.value, 7));
  }
  return piece;
}

// The table is a 32-bit size, that many bytes of a double-array trie (Darts), then zero-terminated strings.
// The library follows its indices unchecked, so each is checked here: children lie in the aligned block of
// 256 units that a unit's offset leads to, and the unit at the offset itself is, where there is a leaf, a
// position among the strings. A unit with the highest bit is a leaf, which is not followed, but for the root.
void check_normalisation_table(std::string_view table, const std::string& where) {
  if (table.empty()) return;
  const auto broken = [&] { user_error("{}: the normalisation table is damaged", where); };
  uint32_t trie_bytes = 0;
  if (table.size() <= 4) broken();
  std::memcpy(&trie_bytes, table.data(), 4);
  if (trie_bytes >= table.size() - 4 || trie_bytes % 1024 != 0 || trie_bytes == 0) broken();
  const std::string_view strings = table.substr(4 + trie_bytes);
  if (strings.back() != '\0') broken();
  const size_t units = trie_bytes / 4;
  const auto unit_at = [&](size_t i) {
    uint32_t unit = 0;
    std::memcpy(&unit, table.data() + 4 + 4 * i, 4);
    return unit;
  };
  for (size_t i = 0; i < units; ++i) {
    const uint32_t unit = unit_at(i);
    if (unit >> 31 && i > 0) continue;
    const size_t offset = static_cast<size_t>(unit >> 10) << ((unit & (1U << 9)) >> 6);
    if (((i ^ offset) | 0xFF) >= units) broken();
    const bool has_leaf = (unit >> 8 & 1) != 0;
    if (has_leaf && (unit_at(i ^ offset) & 0x7FFFFFFF) >= strings.size()) broken();
  }
}

bool is_byte_name(std::string_view text) {
  const auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); };
  return text.size() == 6 && text.starts_with("<0x") && hex(text[3]) && hex(text[4]) && text[5] == '>';
}

void check_pieces(const SentencePieceModel& model, const std::string& where) {
  if (model.pieces.empty()) user_error("{}: not a SentencePiece model: it has no pieces", where);
  std::unordered_set<std::string_view> seen;
  size_t unknowns = 0;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const auto& piece = model.pieces[id];
    const char* problem = nullptr;
    if (piece.text.empty()) problem = "is empty";
    if (piece.text.find('\0') != std::string::npos) problem = "has a zero byte";
    if (!is_valid_utf8(piece.text)) problem = "is not valid UTF-8";
    if (!std::isfinite(piece.score)) problem = "has a score that is not a number";
    if (piece.type < SentencePieceModel::kNormal || piece.type > SentencePieceModel::kByte)
      problem = "has no known type";
    if (piece.type == SentencePieceModel::kByte && !is_byte_name(piece.text)) problem = "names no byte";
    if (!seen.insert(piece.text).second) problem = "stands twice";
    if (problem != nullptr)
      user_error("{}: piece {} \"{}\" {}", where, id, piece.text.substr(0, 80), problem);
    unknowns += piece.type == SentencePieceModel::kUnknown;
  }
  if (unknowns != 1) user_error("{}: expected one unknown piece, found {}", where, unknowns);
}

void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void append_message(std::string& out, uint64_t number, const std::string& message) {
  append_varint(out, number << 3 | 2);
  append_varint(out, message.size());
  out += message;
}

}  // namespace

SentencePieceModel parse_sentencepiece(std::string_view file, const std::string& where) {
  SentencePieceModel model;
  for (ProtoFields f(file, where); f.next();) {
    if (f.number == 1) model.pieces.push_back(parse_piece(f.message(), where));
    if (f.number == 2) {
      for (ProtoFields spec(f.message(), where); spec.next();) {
        if (spec.number == 3) model.bpe = spec.value == 2;
        if (spec.number == 44) model.unk_surface = spec.message();
      }
    }
    if (f.number == 3) {
      for (ProtoFields spec(f.message(), where); spec.next();) {
        if (spec.number == 2) check_normalisation_table(spec.message(), where);
        if (spec.number == 3) model.add_dummy_prefix = spec.value != 0;
        if (spec.number == 4) model.remove_extra_whitespaces = spec.value != 0;
      }
    }
    if (f.number == 5) {
      for (ProtoFields spec(f.message(), where); spec.next();) {
        if (spec.number == 2 && !spec.message().empty()) model.has_denormalizer = true;
      }
    }
  }
  check_pieces(model, where);
  return model;
}

std::string edit_sentencepiece(std::string_view file, const std::vector<int64_t>& make_control,
                               bool no_prefix) {
  const std::string where = "SentencePiece model";
  std::string out;
  int64_t id = 0;
  // Of a field that stands twice the last counts, so a change is a field at the end of its message.
  for (ProtoFields f(file, where); f.next();) {
    std::string message(f.wire == 2 ? f.bytes : "");
    const bool piece = f.number == 1;
    if (piece && std::find(make_control.begin(), make_control.end(), id++) != make_control.end()) {
      message += {3 << 3, SentencePieceModel::kControl};
      append_message(out, 1, message);
    } else if (f.number == 3 && no_prefix) {
      message += {3 << 3, 0};
      append_message(out, 3, message);
    } else {
      out += f.whole;
    }
  }
  return out;
}

}  // namespace temper
