#include "text/tokenizer_sentencepiece.h"

#include <sentencepiece_processor.h>

#include <algorithm>

#include "base/error.h"
#include "text/tokenizer_common.h"
#include "text/tokenizer_sentencepiece_model.h"
#include "text/tokenizer_unicode.h"

namespace temper {
namespace {

using Processor = sentencepiece::SentencePieceProcessor;

void load_processor(Processor& processor, const std::string& file, const std::string& where) {
  try {
    const auto status = processor.LoadFromSerializedProto(file);
    if (!status.ok()) user_error("{}: {}", where, std::string(status.message()).substr(0, 200));
  } catch (const UserError&) {
    throw;
  } catch (const std::exception& e) {
    user_error("{}: the SentencePiece library refuses it: {}", where, std::string(e.what()).substr(0, 200));
  }
}

class SentencePieceTokenizer : public Tokenizer {
 public:
  explicit SentencePieceTokenizer(TokenizerFolder folder);

  std::vector<int64_t> encode(std::string_view text, const EncodeOptions& options) const override;
  std::string decode(const std::vector<int64_t>& ids, bool special) const override;
  std::unique_ptr<TextStream> stream(bool special) const override;

  int64_t vocab_size() const override { return vocab_size_; }
  std::string piece(int64_t id) const override;
  std::optional<int64_t> id(std::string_view piece) const override;
  bool is_special(int64_t id) const override;
  std::optional<int64_t> bos() const override { return named_.bos; }
  std::optional<int64_t> eos() const override { return named_.eos; }
  std::optional<int64_t> pad() const override { return named_.pad; }
  std::map<std::string, std::string> named_tokens() const override;
  std::string chat_template() const override { return folder_.chat_template; }
  void save(const std::string& folder) const override { folder_.save(folder); }

 private:
  class Stream;
  int64_t size() const { return static_cast<int64_t>(model_.pieces.size()); }
  bool has_type(int64_t id, int type) const {
    return id >= 0 && id < size() && model_.pieces[static_cast<size_t>(id)].type == type;
  }
  std::vector<AddedToken> added_tokens() const;

  TokenizerFolder folder_;
  std::string where_;
  SentencePieceModel model_;
  std::unordered_map<std::string_view, int64_t> ids_;  // views into model_.pieces
  Processor processor_;
  std::unique_ptr<Processor> inner_;  // for text after a special token, where that differs
  AddedTokens added_;
  int64_t vocab_size_ = 0;
  NamedIds named_;
  bool add_bos_ = false, add_eos_ = false;
};

SentencePieceTokenizer::SentencePieceTokenizer(TokenizerFolder folder)
    : folder_(std::move(folder)), where_(folder_.where("tokenizer.model")) {
  const std::string& file = folder_.files.at("tokenizer.model");
  model_ = parse_sentencepiece(file, where_);
  if (model_.has_denormalizer) user_error("{}: models with a denormaliser are not supported", where_);
  for (int64_t id = 0; id < size(); ++id) ids_.emplace(model_.pieces[static_cast<size_t>(id)].text, id);

  // A user-defined piece is found in any text. One that the folder calls special must not be, so it becomes a
  // control piece, and is found by the added tokens below.
  std::vector<int64_t> make_control;
  vocab_size_ = size();
  for (const AddedToken& token : added_tokens()) {
    added_.add(token, token.content, where_);
    vocab_size_ = std::max(vocab_size_, token.id + 1);
    if (!token.special || !has_type(token.id, SentencePieceModel::kUserDefined)) continue;
    make_control.push_back(token.id);
    model_.pieces[static_cast<size_t>(token.id)].type = SentencePieceModel::kControl;
  }
  load_processor(processor_, edit_sentencepiece(file, make_control, false), where_);
  const JsonPart config(folder_.config, folder_.where("tokenizer_config.json"));
  if (model_.add_dummy_prefix && !config.boolean_or("legacy", true)) {
    inner_ = std::make_unique<Processor>();
    load_processor(*inner_, edit_sentencepiece(file, make_control, true), where_);
  }

  named_ = find_named_ids(folder_, *this);
  const auto own = [](int id) { return id >= 0 ? std::optional<int64_t>(id) : std::nullopt; };
  if (!named_.bos) named_.bos = own(processor_.bos_id());
  if (!named_.eos) named_.eos = own(processor_.eos_id());
  if (!named_.pad) named_.pad = own(processor_.pad_id());
  // As in transformers 5: no flag, no token.
  add_bos_ = named_.bos && config.boolean_or("add_bos_token", false);
  add_eos_ = named_.eos && config.boolean_or("add_eos_token", false);
}

// Control pieces and the unknown piece are special tokens; the folder's added tokens come on top.
std::vector<AddedToken> SentencePieceTokenizer::added_tokens() const {
  std::vector<AddedToken> tokens;
  const auto named_special = [&](const std::string& content) {
    return std::find(folder_.special.begin(), folder_.special.end(), content) != folder_.special.end();
  };
  const auto from_folder = [&](int64_t id) {
    return std::find_if(folder_.added.begin(), folder_.added.end(),
                        [&](const AddedToken& t) { return t.id == id; });
  };
  for (int64_t id = 0; id < size(); ++id) {
    const auto& piece = model_.pieces[static_cast<size_t>(id)];
    const auto listed = from_folder(id);
    if (listed != folder_.added.end() && listed->content != piece.text) {
      user_error("{}: added_tokens_decoder calls the token {} \"{}\"; in tokenizer.model it is \"{}\"",
                 folder_.where("tokenizer_config.json"), id, listed->content, piece.text);
    }
    AddedToken token;
    if (listed != folder_.added.end()) token = *listed;
    token.content = piece.text;
    token.id = id;
    const bool control =
        piece.type == SentencePieceModel::kControl || piece.type == SentencePieceModel::kUnknown;
    token.special = token.special || control || named_special(piece.text);
    // Text is cut at tokens before SentencePiece normalises it.
    token.normalized = false;
    if (token.special || listed != folder_.added.end()) tokens.push_back(token);
  }
  for (AddedToken token : folder_.added) {
    if (token.id < size() || token.content.empty()) continue;
    if (token.id > 2 * size() + (1 << 16)) {
      user_error("{}: the id {} of \"{}\" is far above the {} tokens there are", folder_.path, token.id,
                 token.content, size());
    }
    token.normalized = false;
    token.special = token.special || named_special(token.content);
    tokens.push_back(token);
  }
  return tokens;
}

std::vector<int64_t> SentencePieceTokenizer::encode(std::string_view text,
                                                    const EncodeOptions& options) const {
  if (!is_valid_utf8(text)) return encode(replace_invalid_utf8(text), repaired_options(text, options));
  std::vector<AddedTokens::Span> spans;
  added_.split_raw(text, !options.parse_special, options.plain, spans);
  std::vector<int64_t> ids;
  if (options.add_special && add_bos_) ids.push_back(*named_.bos);
  for (const AddedTokens::Span& span : spans) {
    if (span.id >= 0) {
      ids.push_back(span.id);
      continue;
    }
    const Processor& processor = inner_ && span.begin > 0 ? *inner_ : processor_;
    std::vector<int> part;
    const auto status = processor.Encode(text.substr(span.begin, span.end - span.begin), &part);
    if (!status.ok()) bug("{}: SentencePiece cannot encode: {}", where_, status.ToString());
    ids.insert(ids.end(), part.begin(), part.end());
  }
  if (options.add_special && add_eos_) ids.push_back(*named_.eos);
  return ids;
}

// As SentencePiece decodes: the mark is a space, the one put before the text goes; byte pieces that do not
// make a character read as U+FFFD each.
class SentencePieceTokenizer::Stream : public TextStream {
 public:
  Stream(const SentencePieceTokenizer& tokenizer, bool special) : tokenizer_(tokenizer), special_(special) {}

  std::string push(int64_t id) override {
    std::string out;
    feed(id, out);
    return out;
  }
  std::string finish() override {
    std::string out;
    flush_bytes(out, true);
    return out;
  }
  void feed(int64_t id, std::string& out) {
    const size_t before = out.size();
    feed_piece(id, out);
    if (out.size() > before) any_text_ = true;
  }

 private:
  void feed_piece(int64_t id, std::string& out) {
    if (id < 0 || id >= tokenizer_.vocab_size()) return;
    if (tokenizer_.has_type(id, SentencePieceModel::kByte)) {
      const std::string& text = tokenizer_.model_.pieces[static_cast<size_t>(id)].text;
      bytes_ += static_cast<char>(std::stoi(text.substr(3, 2), nullptr, 16));
      flush_bytes(out, false);
      return;
    }
    const AddedToken* added = tokenizer_.added_.find(id);
    const bool unknown = tokenizer_.has_type(id, SentencePieceModel::kUnknown);
    if (added != nullptr && added->special && !special_ && !unknown) return;
    flush_bytes(out, true);
    if (!out.empty()) any_text_ = true;
    if (unknown && !special_) {
      out += tokenizer_.model_.unk_surface;
    } else if (added != nullptr) {
      out += added->content;
    } else if (id < tokenizer_.size()) {
      add_text(tokenizer_.model_.pieces[static_cast<size_t>(id)].text, out);
    }
  }
  void add_text(std::string_view piece, std::string& out) {
    const auto& model = tokenizer_.model_;
    if (!any_text_ && !prefix_gone_ && (model.add_dummy_prefix || model.remove_extra_whitespaces) &&
        piece.starts_with(kSpaceMark)) {
      piece.remove_prefix(kSpaceMark.size());
      // Where extra white space is removed, all of it at the beginning goes.
      prefix_gone_ = !model.remove_extra_whitespaces;
    }
    while (!piece.empty()) {
      const size_t at = piece.find(kSpaceMark);
      out += piece.substr(0, at);
      if (at == std::string_view::npos) break;
      out += ' ';
      piece.remove_prefix(at + kSpaceMark.size());
    }
  }
  // What the bytes make so far; a character that is not complete yet waits unless nothing can follow.
  void flush_bytes(std::string& out, bool all) {
    while (!bytes_.empty()) {
      const Utf8Step step = step_utf8(bytes_, 0);
      if (step.incomplete && !all) return;
      if (step.valid) {
        out += bytes_.substr(0, step.bytes);
        bytes_.erase(0, step.bytes);
      } else {
        out += "\uFFFD";
        bytes_.erase(0, 1);
      }
    }
  }
  const SentencePieceTokenizer& tokenizer_;
  bool special_, any_text_ = false, prefix_gone_ = false;
  std::string bytes_;
};

std::unique_ptr<TextStream> SentencePieceTokenizer::stream(bool special) const {
  return std::make_unique<Stream>(*this, special);
}

std::string SentencePieceTokenizer::decode(const std::vector<int64_t>& ids, bool special) const {
  Stream stream(*this, special);
  std::string out;
  for (const int64_t id : ids) out += stream.push(id);
  return out + stream.finish();
}

std::string SentencePieceTokenizer::piece(int64_t id) const {
  if (const AddedToken* token = added_.find(id)) return token->content;
  if (id < 0 || id >= size())
    user_error("{}: no token has the id {}; ids are below {}", where_, id, vocab_size_);
  return model_.pieces[static_cast<size_t>(id)].text;
}

std::map<std::string, std::string> SentencePieceTokenizer::named_tokens() const {
  auto out = folder_.named;
  const auto add = [&](const char* name, std::optional<int64_t> id) {
    if (id) out.emplace(name, piece(*id));
  };
  add("bos_token", named_.bos);
  add("eos_token", named_.eos);
  add("pad_token", named_.pad);
  return out;
}

std::optional<int64_t> SentencePieceTokenizer::id(std::string_view piece) const {
  if (const AddedToken* token = added_.find(piece)) return token->id;
  const auto found = ids_.find(piece);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

bool SentencePieceTokenizer::is_special(int64_t id) const {
  const AddedToken* token = added_.find(id);
  return token != nullptr && token->special;
}

}  // namespace

std::unique_ptr<Tokenizer> load_sentencepiece_tokenizer(TokenizerFolder folder) {
  return std::make_unique<SentencePieceTokenizer>(std::move(folder));
}

}  // namespace temper
