#include "text/tokenizer_hf.h"

#include <algorithm>

#include "base/error.h"
#include "text/tokenizer_bpe.h"
#include "text/tokenizer_common.h"
#include "text/tokenizer_decoder.h"
#include "text/tokenizer_normalizer.h"
#include "text/tokenizer_pretokenizer.h"
#include "text/tokenizer_unicode.h"

namespace temper {
namespace {

struct PostProcessor {
  std::vector<int64_t> before, after;  // what add_special puts around the text's ids
};

int64_t special_id(const Json& pair, const std::string& where) {
  if (!pair.is_array() || pair.size() != 2 || !pair[1].is_number_unsigned()) {
    user_error("{}: expected [\"token\", id]", where);
  }
  return static_cast<int64_t>(pair[1].get<uint32_t>());
}

void add_template(const JsonPart& part, PostProcessor& post) {
  PostProcessor added;
  bool seen_text = false;
  const JsonPart tokens = part.part("special_tokens");
  for (const JsonPart& piece : part.parts("single")) {
    if (piece.has("Sequence")) {
      if (seen_text || piece.part("Sequence").string("id") != "A") {
        user_error("{}: the template of a single text must hold it once, as A", piece.where());
      }
      seen_text = true;
      continue;
    }
    const std::string name = piece.part("SpecialToken").string("id");
    const JsonPart token = tokens.part(name.c_str());
    if (!token.has("ids") || !token.json()["ids"].is_array())
      user_error("{}.ids: expected an array", token.where());
    for (const Json& id : token.json()["ids"]) {
      if (!id.is_number_unsigned()) user_error("{}.ids: expected ids", token.where());
      (seen_text ? added.after : added.before).push_back(static_cast<int64_t>(id.get<uint32_t>()));
    }
  }
  if (!seen_text) user_error("{}.single: the template leaves the text out", part.where());
  post.before.insert(post.before.begin(), added.before.begin(), added.before.end());
  post.after.insert(post.after.end(), added.after.begin(), added.after.end());
}

void add_post_processor(const JsonPart& part, PostProcessor& post) {
  const std::string type = part.string("type");
  if (type == "TemplateProcessing") {
    add_template(part, post);
  } else if (type == "RobertaProcessing" || type == "BertProcessing") {
    if (!part.has("cls") || !part.has("sep")) user_error("{}: \"cls\" and \"sep\" are needed", part.where());
    post.before.insert(post.before.begin(), special_id(part.json()["cls"], part.where() + ".cls"));
    post.after.push_back(special_id(part.json()["sep"], part.where() + ".sep"));
  } else if (type == "Sequence") {
    for (const JsonPart& step : part.parts("processors")) add_post_processor(step, post);
  } else if (type != "ByteLevel") {  // which only trims offsets
    user_error(
        "{}: the post-processor type \"{}\" is not supported (TemplateProcessing, ByteLevel, "
        "RobertaProcessing, "
        "BertProcessing, Sequence are)",
        part.where(), type);
  }
}

class HfTokenizer : public Tokenizer {
 public:
  explicit HfTokenizer(TokenizerFolder folder)
      : HfTokenizer(read_tokenizer_json(folder.files.at("tokenizer.json"), folder.where("tokenizer.json")),
                    folder) {}

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
  std::map<std::string, std::string> named_tokens() const override { return folder_.named; }
  std::string chat_template() const override { return folder_.chat_template; }
  void save(const std::string& folder) const override { folder_.save(folder); }

 private:
  class Stream;
  HfTokenizer(TokenizerJson file, TokenizerFolder& folder);
  void read_added(const JsonPart& root);
  void add_from_file(const JsonPart& root, std::vector<AddedToken>& tokens) const;
  void add_from_folder(std::vector<AddedToken>& tokens) const;
  const std::string* decoded_piece(int64_t id) const;

  TokenizerFolder folder_;
  std::string where_;
  Json parts_;
  BpeModel model_;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  Decoder decoder_;
  PostProcessor post_;
  AddedTokens added_;
  std::unordered_map<int64_t, std::string>
      normalized_forms_;  // of added tokens that are looked for normalised
  int64_t vocab_size_ = 0;
  NamedIds named_;
  mutable BpeCaches caches_;
};

HfTokenizer::HfTokenizer(TokenizerJson file, TokenizerFolder& folder)
    : folder_(std::move(folder)),
      where_(folder_.where("tokenizer.json")),
      parts_(file.parts),
      model_(std::move(file), where_) {
  const JsonPart root(parts_, where_);
  if (root.has("normalizer")) normalizer_ = make_normalizer(root.part("normalizer"));
  if (root.has("pre_tokenizer")) pre_tokenizer_ = make_pre_tokenizer(root.part("pre_tokenizer"));
  if (root.has("post_processor")) add_post_processor(root.part("post_processor"), post_);
  if (root.has("decoder")) {
    const JsonPart decoder = root.part("decoder");
    decoder_ = make_decoder(&decoder);
  } else {
    decoder_ = make_decoder(nullptr);
  }
  read_added(root);
  for (const auto* ids : {&post_.before, &post_.after}) {
    for (const int64_t id : *ids) {
      if (decoded_piece(id) == nullptr) user_error("{}.post_processor: no token has the id {}", where_, id);
    }
  }
  named_ = find_named_ids(folder_, *this);
}

// Numbers the tokens as the package does: a token that the model knows keeps its id there, others follow the
// largest.
void HfTokenizer::add_from_file(const JsonPart& root, std::vector<AddedToken>& tokens) const {
  int64_t next_id = static_cast<int64_t>(model_.size());
  for (const JsonPart& part : root.parts("added_tokens")) {
    AddedToken token = read_added_token(part);
    part.integer("id");  // must be there and a number, though it decides nothing
    if (token.content.empty()) continue;
    const auto same = std::find_if(tokens.begin(), tokens.end(),
                                   [&](const AddedToken& t) { return t.content == token.content; });
    if (same != tokens.end()) {
      token.id = same->id;
      *same = token;
      continue;
    }
    const auto known = model_.find(token.content);
    token.id = known ? *known : next_id++;
    if (!known && model_.piece(token.id) != nullptr) {
      user_error(
          "{}: added_tokens: \"{}\" would get the id {}, which \"{}\" has; the vocabulary's ids leave holes",
          where_, token.content, token.id, *model_.piece(token.id));
    }
    tokens.push_back(token);
  }
}

// Flags of added_tokens_decoder win, as in transformers; tokens that only it has keep the ids it gives them.
// Named special tokens that are plain vocabulary so far become added tokens.
void HfTokenizer::add_from_folder(std::vector<AddedToken>& tokens) const {
  const std::string where = folder_.where("tokenizer_config.json");
  for (const AddedToken& token : folder_.added) {
    if (token.content.empty()) continue;
    const auto same = std::find_if(tokens.begin(), tokens.end(),
                                   [&](const AddedToken& t) { return t.content == token.content; });
    const auto known = same != tokens.end() ? std::optional(same->id) : model_.find(token.content);
    if (known && *known != token.id) {
      user_error("{}: the token \"{}\" has the id {} here and {} in tokenizer.json", where, token.content,
                 token.id, *known);
    }
    if (same != tokens.end()) {
      *same = token;
      continue;
    }
    const bool taken =
        std::any_of(tokens.begin(), tokens.end(), [&](const AddedToken& t) { return t.id == token.id; });
    if (!known && (taken || model_.piece(token.id) != nullptr)) {
      user_error("{}: the id {} of \"{}\" belongs to another token", where, token.id, token.content);
    }
    if (token.id > 2 * model_.end_id() + (1 << 16)) {
      user_error("{}: the id {} of \"{}\" is far above the {} tokens there are", where, token.id,
                 token.content, model_.size());
    }
    tokens.push_back(token);
  }
  for (const std::string& content : folder_.special) {
    const auto same =
        std::find_if(tokens.begin(), tokens.end(), [&](const AddedToken& t) { return t.content == content; });
    if (same != tokens.end()) {
      same->special = true;
    } else if (const auto known = model_.find(content); known && !content.empty()) {
      AddedToken token;
      token.content = content;
      token.id = *known;
      token.special = true;
      tokens.push_back(token);
    }
  }
}

void HfTokenizer::read_added(const JsonPart& root) {
  std::vector<AddedToken> tokens;
  if (root.has("added_tokens")) add_from_file(root, tokens);
  add_from_folder(tokens);
  vocab_size_ = model_.end_id();
  for (const AddedToken& token : tokens) {
    std::string form = token.content;
    if (token.normalized && normalizer_) {
      bool at_start = true;
      form = normalizer_(form, at_start);
      if (form != token.content) normalized_forms_[token.id] = form;
    }
    added_.add(token, form, where_);
    if (token.special) model_.forbid_in_plain_text(token.id);
    vocab_size_ = std::max(vocab_size_, token.id + 1);
  }
}

std::vector<int64_t> HfTokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  if (!is_valid_utf8(text)) return encode(replace_invalid_utf8(text), repaired_options(text, options));
  const bool guarded = !options.parse_special || !options.plain.empty();
  PreText pre;
  std::vector<AddedTokens::Span> spans, inner;
  added_.split_raw(text, !options.parse_special, options.plain, spans);
  for (const AddedTokens::Span& span : spans) {
    const size_t at = pre.text.size();
    if (span.id >= 0) {
      pre.pieces.push_back({at, at, span.id, false});
      continue;
    }
    bool at_start = span.begin == 0;
    std::string part(text.substr(span.begin, span.end - span.begin));
    if (normalizer_) part = normalizer_(std::move(part), at_start);
    added_.split_normalized(part, guarded, inner);
    for (const AddedTokens::Span& piece : inner) {
      pre.pieces.push_back({at + piece.begin, at + piece.end, piece.id, at_start && piece.begin == 0});
    }
    pre.text += part;
  }
  if (pre_tokenizer_) pre_tokenizer_(pre);

  std::vector<int64_t> ids;
  if (options.add_special) ids = post_.before;
  auto cache = caches_.take();
  const WordMode mode{pre.raw_bytes, guarded};
  for (const PreText::Piece& piece : pre.pieces) {
    if (piece.id >= 0) {
      ids.push_back(piece.id);
    } else {
      model_.encode(pre.view(piece), mode, *cache, ids);
    }
  }
  caches_.give_back(std::move(cache));
  if (options.add_special) ids.insert(ids.end(), post_.after.begin(), post_.after.end());
  return ids;
}

class HfTokenizer::Stream : public TextStream {
 public:
  Stream(const HfTokenizer& tokenizer, bool special)
      : tokenizer_(tokenizer), special_(special), chain_(tokenizer.decoder_(end_)) {}
  std::string push(int64_t id) override {
    feed(id);
    return take();
  }
  std::string finish() override {
    chain_.first->finish();
    return take();
  }
  void feed(int64_t id) {
    const std::string* piece = tokenizer_.decoded_piece(id);
    if (piece == nullptr || (!special_ && tokenizer_.is_special(id))) return;
    chain_.first->part(*piece);
    chain_.first->end_string();
  }

 private:
  struct End : DecodeStep {
    void part(std::string_view text) override { out += text; }
    void end_string() override {}
    void finish() override {}
    std::string out;
  };
  std::string take() {
    std::string out;
    out.swap(end_.out);
    return out;
  }
  const HfTokenizer& tokenizer_;
  bool special_;
  End end_;
  DecodeChain chain_;
};

std::unique_ptr<TextStream> HfTokenizer::stream(bool special) const {
  return std::make_unique<Stream>(*this, special);
}

std::string HfTokenizer::decode(const std::vector<int64_t>& ids, bool special) const {
  Stream stream(*this, special);
  for (const int64_t id : ids) stream.feed(id);
  return stream.finish();
}

// As decoders take it: an added token that is looked for normalised is decoded from that form.
const std::string* HfTokenizer::decoded_piece(int64_t id) const {
  if (const AddedToken* token = added_.find(id)) {
    const auto form = normalized_forms_.find(id);
    return form != normalized_forms_.end() ? &form->second : &token->content;
  }
  return model_.piece(id);
}

std::string HfTokenizer::piece(int64_t id) const {
  if (const AddedToken* token = added_.find(id)) return token->content;
  if (const std::string* piece = model_.piece(id)) return *piece;
  user_error("{}: no token has the id {}; ids are below {}", where_, id, vocab_size_);
}

std::optional<int64_t> HfTokenizer::id(std::string_view piece) const {
  if (const AddedToken* token = added_.find(piece)) return token->id;
  return model_.find(piece);
}

bool HfTokenizer::is_special(int64_t id) const {
  const AddedToken* token = added_.find(id);
  return token != nullptr && token->special;
}

}  // namespace

std::unique_ptr<Tokenizer> load_hf_tokenizer(TokenizerFolder folder) {
  return std::make_unique<HfTokenizer>(std::move(folder));
}

}  // namespace temper
