// What a SentencePiece file (the protocol buffer ModelProto of sentencepiece_model.proto) says, read without
// its generated code, which the Debian package does not ship.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace temper {

inline constexpr std::string_view kSpaceMark = "\u2581";  // what pieces have where the text has a space

struct SentencePieceModel {
  enum Type { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
  struct Piece {
    std::string text;
    float score = 0;
    int type = kNormal;
  };
  std::vector<Piece> pieces;  // by id
  bool bpe = false;           // else unigram, word or character
  bool add_dummy_prefix = true, remove_extra_whitespaces = true;
  bool has_denormalizer = false;
  std::string unk_surface = " \u2047 ";
};

// Throws UserError for files that are truncated or that the library could not read safely: no pieces, an
// empty or doubled piece, a zero byte in one, a score that is no number, a normalisation table that points
// out of itself.
SentencePieceModel parse_sentencepiece(std::string_view file, const std::string& where);

// The file with the given pieces made control pieces, which text never yields, and the space that is put
// before each text switched off if asked.
std::string edit_sentencepiece(std::string_view file, const std::vector<int64_t>& make_control,
                               bool no_prefix);

}  // namespace temper
