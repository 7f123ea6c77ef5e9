// What a judge is asked: texts with places for the prompt, the completion and the record's columns.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "reward/reward.h"

namespace temper {

// A text in which {name} stands for something: a name is letters, digits, "_" and ".", and begins with a
// letter. All other braces stand for themselves, as in {"score": 8}.
class QuestionTemplate {
 public:
  explicit QuestionTemplate(const std::string& text);
  // value: what a name stands for. What it gives is not looked into for further names.
  std::string fill(const std::function<std::string(const std::string&)>& value) const;
  bool names(const std::string& name) const;

 private:
  struct Part {
    bool name;
    std::string text;
  };
  std::vector<Part> parts_;
};

// A column as text: a string as it is, anything else as JSON. Throws UserError when the record has none.
std::string column_text(const Json* columns, const std::string& column, const std::string& where);

// The prompt of an item as a judge reads it: the record's when it is a string; the content of a chat's
// message, and before each "role: " when there are several; else what the model saw.
std::string prompt_text(const RewardItem& item);
// All that was said behind the prompt, in the same form; the completion where there was one turn alone.
std::string conversation_text(const RewardItem& item);

}  // namespace temper
