#pragma once

#include <string>
#include <vector>

#include "jinja/text.h"

namespace temper::jinja {

enum class TokenKind {
  kData,
  kPrintBegin,
  kPrintEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind;
  int line;
  std::string text;  // data, name, operator; strings with their escapes resolved
  int64_t integer = 0;
  double number = 0;
};

// Cuts a template into tokens as Jinja does with trim_blocks and lstrip_blocks: a block tag's own line leaves
// no white space behind. The last token is kEnd. Throws Error ("line N: ...").
std::vector<Token> tokenize_template(const std::string& source);

}  // namespace temper::jinja
