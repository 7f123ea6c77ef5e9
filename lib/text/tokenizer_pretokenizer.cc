#include "text/tokenizer_pretokenizer.h"

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "text/tokenizer_normalizer.h"
#include "text/tokenizer_unicode.h"

namespace temper {
namespace {

constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

enum class Behavior { kRemoved, kIsolated, kContiguous, kMergedWithPrevious, kMergedWithNext };

struct Span {
  size_t begin, end;
  bool match;
};
using CutSpans = std::vector<Span>;
// Cuts a word into spans that cover it, matches of the delimiter and what lies between.
using Cutter = std::function<void(std::string_view, CutSpans&)>;

Behavior read_behavior(const JsonPart& part, const std::string& name) {
  if (name == "Removed") return Behavior::kRemoved;
  if (name == "Isolated") return Behavior::kIsolated;
  if (name == "Contiguous") return Behavior::kContiguous;
  if (name == "MergedWithPrevious") return Behavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return Behavior::kMergedWithNext;
  user_error(
      "{}.behavior: expected Removed, Isolated, Contiguous, MergedWithPrevious or MergedWithNext, found "
      "\"{}\"",
      part.where(), name);
}

// Joins spans as the behavior says; `spans` keeps only what stays in the text.
void apply_behavior(CutSpans& spans, Behavior behavior) {
  size_t kept = 0;
  bool previous_match = false;
  const auto join = [&](Span span, bool into_last, bool forward) {
    if (into_last && kept > 0) {
      (forward ? spans[kept - 1].end : spans[kept - 1].begin) = forward ? span.end : span.begin;
    } else {
      spans[kept++] = span;
    }
  };
  switch (behavior) {
    case Behavior::kIsolated:
      return;
    case Behavior::kRemoved:
      std::erase_if(spans, [](const Span& span) { return span.match; });
      return;
    case Behavior::kContiguous:
      for (const Span span : spans) {
        join(span, span.match == previous_match, true);
        previous_match = span.match;
      }
      break;
    case Behavior::kMergedWithPrevious:
      for (const Span span : spans) {
        join(span, span.match && !previous_match, true);
        previous_match = span.match;
      }
      break;
    case Behavior::kMergedWithNext:
      std::reverse(spans.begin(), spans.end());
      for (const Span span : spans) {
        join(span, span.match && !previous_match, false);
        previous_match = span.match;
      }
      spans.resize(kept);
      std::reverse(spans.begin(), spans.end());
      return;
  }
  spans.resize(kept);
}

void split_pieces(PreText& pre, const Cutter& cut, Behavior behavior) {
  std::vector<PreText::Piece> out;
  out.reserve(pre.pieces.size() + pre.text.size() / 4);
  CutSpans spans;
  for (const PreText::Piece& piece : pre.pieces) {
    if (piece.id >= 0) {
      out.push_back(piece);
      continue;
    }
    spans.clear();
    cut(pre.view(piece), spans);
    apply_behavior(spans, behavior);
    for (const Span& span : spans) {
      if (span.begin == span.end) continue;
      out.push_back(
          {piece.begin + span.begin, piece.begin + span.end, -1, piece.at_start && span.begin == 0});
    }
  }
  pre.pieces = std::move(out);
}

// Writes each text piece anew: rewrite(piece's text, piece, destination).
template <class Rewrite>
void rewrite_pieces(PreText& pre, const Rewrite& rewrite) {
  std::string text;
  text.reserve(pre.text.size() + pre.text.size() / 8 + 16);
  for (PreText::Piece& piece : pre.pieces) {
    const size_t begin = text.size();
    if (piece.id < 0) rewrite(pre.view(piece), piece, text);
    piece.begin = begin;
    piece.end = text.size();
  }
  pre.text = std::move(text);
}

// Byte-level characters in place of bytes, for a step that comes after ByteLevel.
void map_bytes(PreText& pre) {
  if (!pre.raw_bytes) return;
  rewrite_pieces(pre, [](std::string_view word, const PreText::Piece&, std::string& text) {
    for (const char c : word) append_utf8(text, byte_to_char(static_cast<unsigned char>(c)));
  });
  pre.raw_bytes = false;
}

void add_matches(std::string_view word, const TextPattern::Matches& matches, bool invert, CutSpans& spans) {
  size_t at = 0;
  for (const auto& [begin, end] : matches) {
    if (at != begin) spans.push_back({at, begin, invert});
    spans.push_back({begin, end, !invert});
    at = end;
  }
  if (at != word.size()) spans.push_back({at, word.size(), invert});
}

PreTokenizer split_at_pattern(const TextPattern& pattern, Behavior behavior, bool invert) {
  return [pattern, behavior, invert](PreText& pre) {
    map_bytes(pre);
    RegexScratch scratch;
    TextPattern::Matches matches;
    const auto cut = [&](std::string_view word, CutSpans& spans) {
      pattern.find_all(word, matches, scratch);
      add_matches(word, matches, invert, spans);
    };
    split_pieces(pre, cut, behavior);
  };
}

// Each character for which `is_delimiter` holds is a match of its own.
template <class Predicate>
PreTokenizer split_at_characters(Predicate is_delimiter, Behavior behavior) {
  const auto cut = [is_delimiter](std::string_view word, CutSpans& spans) {
    size_t text_begin = 0;
    for (size_t at = 0; at < word.size();) {
      const size_t begin = at;
      if (!is_delimiter(next_char(word, at))) continue;
      if (text_begin < begin) spans.push_back({text_begin, begin, false});
      spans.push_back({begin, at, true});
      text_begin = at;
    }
    if (text_begin < word.size()) spans.push_back({text_begin, word.size(), false});
  };
  return [cut, behavior](PreText& pre) {
    map_bytes(pre);
    split_pieces(pre, cut, behavior);
  };
}

// \w+|[^\w\s]+ : runs of word characters and runs of other visible ones; white space goes.
void cut_words(std::string_view word, CutSpans& spans) {
  int previous = -1;
  for (size_t at = 0; at < word.size();) {
    const size_t begin = at;
    const char32_t c = next_char(word, at);
    const int kind = is_word(c) ? 2 : is_white_space(c) ? 0 : 1;
    if (kind == previous) {
      spans.back().end = at;
    } else {
      spans.push_back({begin, at, kind == 0});
    }
    previous = kind;
  }
}

PreTokenizer make_byte_level(const JsonPart& part) {
  const bool add_prefix_space = part.boolean("add_prefix_space");
  PreTokenizer split;
  if (part.boolean_or("use_regex", true)) {
    const Json gpt2 = {{"pattern", {{"Regex", kGpt2Pattern}}}};
    split = split_at_pattern(TextPattern(JsonPart(gpt2, part.where())), Behavior::kIsolated, false);
  }
  return [add_prefix_space, split](PreText& pre) {
    map_bytes(pre);
    if (add_prefix_space) {
      rewrite_pieces(pre, [](std::string_view word, const PreText::Piece&, std::string& text) {
        if (!word.starts_with(' ')) text += ' ';
        text += word;
      });
    }
    if (split) split(pre);
    pre.raw_bytes = true;
  };
}

PreTokenizer make_metaspace(const JsonPart& part) {
  std::string mark;
  append_utf8(mark, part.character("replacement"));
  const PrependScheme scheme = read_prepend_scheme(part);
  PreTokenizer split;
  if (part.boolean_or("split", true)) {
    const Json literal = {{"pattern", {{"String", mark}}}};
    split = split_at_pattern(TextPattern(JsonPart(literal, part.where())), Behavior::kMergedWithNext, false);
  }
  return [mark, scheme, split](PreText& pre) {
    map_bytes(pre);
    rewrite_pieces(pre, [&](std::string_view word, const PreText::Piece& piece, std::string& text) {
      const bool marked = word.starts_with(' ') || word.starts_with(mark);
      const bool wanted =
          scheme == PrependScheme::kAlways || (scheme == PrependScheme::kFirst && piece.at_start);
      if (wanted && !marked) text += mark;
      for (const char c : word) {
        if (c == ' ') {
          text += mark;
        } else {
          text += c;
        }
      }
    });
    if (split) split(pre);
  };
}

}  // namespace

PrependScheme read_prepend_scheme(const JsonPart& metaspace) {
  const std::string name = metaspace.string_or("prepend_scheme", "always");
  if (!metaspace.boolean_or("add_prefix_space", true)) return PrependScheme::kNever;
  if (name == "first") return PrependScheme::kFirst;
  if (name == "always") return PrependScheme::kAlways;
  if (name == "never") return PrependScheme::kNever;
  user_error("{}.prepend_scheme: expected first, always or never, found \"{}\"", metaspace.where(), name);
}

PreTokenizer make_pre_tokenizer(const JsonPart& part) {
  const std::string type = part.string("type");
  if (type == "ByteLevel") return make_byte_level(part);
  if (type == "Metaspace") return make_metaspace(part);
  if (type == "Split") {
    return split_at_pattern(TextPattern(part), read_behavior(part, part.string("behavior")),
                            part.boolean("invert"));
  }
  if (type == "Digits") {
    const bool individual = part.boolean("individual_digits");
    return split_at_characters(is_numeric, individual ? Behavior::kIsolated : Behavior::kContiguous);
  }
  if (type == "Punctuation") {
    return split_at_characters(is_punctuation, read_behavior(part, part.string_or("behavior", "Isolated")));
  }
  if (type == "WhitespaceSplit") return split_at_characters(is_white_space, Behavior::kRemoved);
  if (type == "Whitespace") {
    return [](PreText& pre) {
      map_bytes(pre);
      split_pieces(pre, cut_words, Behavior::kRemoved);
    };
  }
  if (type == "Sequence") {
    std::vector<PreTokenizer> steps;
    for (const JsonPart& step : part.parts("pretokenizers")) steps.push_back(make_pre_tokenizer(step));
    return [steps](PreText& pre) {
      for (const PreTokenizer& step : steps) step(pre);
    };
  }
  user_error(
      "{}: the pre-tokenizer type \"{}\" is not supported (ByteLevel, Split, Digits, Metaspace, Whitespace, "
      "WhitespaceSplit, Punctuation, Sequence are)",
      part.where(), type);
}

}  // namespace temper
