#include "data/problems/ksat_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace temper {
namespace {

using SceneWords = std::vector<std::string>;

struct Scene {
  std::string opening;  // {}: who or what, as a list
  std::string subject;  // of a sentence; {}: the name
  std::string is, is_not;
  std::string question;
  SceneWords names;
};

const std::vector<Scene>& scenes() {
  static const std::vector<Scene> all = {
      {"{} are asked to a party. Each of them comes or stays away.",
       "{}",
       "comes",
       "stays away",
       "Who comes?",
       {"Ana",  "Ben",  "Cleo",  "Dan",  "Ella", "Finn", "Greta", "Hugo",  "Iris", "Jon",
        "Kira", "Leo",  "Mona",  "Nils", "Olga", "Paul", "Quinn", "Rosa",  "Sven", "Tara",
        "Umar", "Vera", "Willy", "Xena", "Yuri", "Zoe",  "Alma",  "Boris", "Cara", "Dora"}},
      {"A cook thinks of these for a meal: {}. Each of them is served or left out.",
       "the {}",
       "is served",
       "is left out",
       "What is served?",
       {"soup",    "rice",    "salad",   "bread",    "cheese",  "fish",  "cake",     "pasta",
        "stew",    "pie",     "tea",     "coffee",   "juice",   "honey", "butter",   "ham",
        "corn",    "tofu",    "curry",   "jam",      "fruit",   "melon", "omelette", "chili",
        "lasagna", "risotto", "yoghurt", "porridge", "chowder", "sorbet"}},
      {"These may go on a trip: {}. Each of them is packed or stays at home.",
       "the {}",
       "is packed",
       "stays at home",
       "What is packed?",
       {"tent",  "map",   "lamp",   "rope",   "stove", "kettle", "knife", "spoon", "radio",   "camera",
        "book",  "towel", "jacket", "hat",    "scarf", "pillow", "rug",   "chair", "bucket",  "whistle",
        "torch", "pan",   "mug",    "basket", "flag",  "hammer", "bell",  "ball",  "compass", "raincoat"}},
  };
  return all;
}

// "a, b and c"
std::string list_in_words(const SceneWords& items) {
  std::string out;
  for (size_t i = 0; i < items.size(); ++i)
    out += (i == 0 ? "" : i + 1 == items.size() ? " and " : ", ") + items[i];
  return out;
}

std::string capital(std::string text) {
  if (text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

}  // namespace

int64_t ksat_english_names() {
  size_t least = scenes()[0].names.size();
  for (const Scene& scene : scenes()) least = std::min(least, scene.names.size());
  return static_cast<int64_t>(least);
}

KsatText ksat_english(const CnfFormula& formula, RandomStream& random) {
  const Scene& scene = scenes()[random.below(scenes().size())];
  const auto order = random.permutation(static_cast<int64_t>(scene.names.size()));
  KsatText out;
  for (int64_t v = 0; v < formula.variables; ++v)
    out.names.push_back(scene.names[static_cast<size_t>(order[static_cast<size_t>(v)])]);
  out.states = {scene.is, scene.is_not};
  out.answers = {"yes", "no"};

  out.question = fmt::format(fmt::runtime(scene.opening), list_in_words(out.names));
  out.question += " All of these must hold:\n";
  for (size_t c = 0; c < formula.clauses.size(); ++c) {
    std::string sentence;
    for (const int32_t literal : formula.clauses[c]) {
      const std::string& name = out.names[static_cast<size_t>(std::abs(literal) - 1)];
      sentence +=
          fmt::format("{}{} {}", sentence.empty() ? "" : ", or ",
                      fmt::format(fmt::runtime(scene.subject), name), literal > 0 ? scene.is : scene.is_not);
    }
    out.question += fmt::format("{}. {}.\n", c + 1, capital(sentence));
  }
  out.question += fmt::format(
      "{} Answer for each in the form \"{}: yes, {}: no\", or with \"unsatisfiable\" if it is not possible.",
      scene.question, out.names.front(), out.names.back());
  return out;
}

KsatText ksat_symbols(const CnfFormula& formula) {
  KsatText out;
  for (int64_t v = 1; v <= formula.variables; ++v) out.names.push_back(fmt::format("x{}", v));
  out.states = {"true", "false"};
  out.answers = out.states;
  out.question =
      fmt::format("Each of {} is true or false. All of these clauses must hold:\n", list_in_words(out.names));
  for (const auto& clause : formula.clauses) {
    std::string line;
    for (const int32_t literal : clause)
      line += fmt::format("{}{}x{}", line.empty() ? "" : " ∨ ", literal < 0 ? "¬" : "", std::abs(literal));
    out.question += line + "\n";
  }
  out.question += fmt::format(
      "Answer for each in the form \"{}: true, {}: false\", or with \"unsatisfiable\" if it is not possible.",
      out.names.front(), out.names.back());
  return out;
}

std::string ksat_answer(const KsatText& text, const CnfValues& values) {
  std::string out;
  for (size_t v = 0; v < values.size(); ++v)
    out += fmt::format("{}{}: {}", v == 0 ? "" : ", ", text.names[v], text.answers[values[v] > 0 ? 0 : 1]);
  return out;
}

}  // namespace temper
