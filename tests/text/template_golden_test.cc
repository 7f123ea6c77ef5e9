// Renderings equal to transformers' own (scripts/oracles/templates.py).
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "test.h"
#include "text/template.h"

using namespace temper;

namespace {

const char* const kFolder = "text/golden/templates/";

Json golden_json(const std::string& name) {
  return read_json_file(test_file(kFolder + name));
}

struct Rendered {
  std::string text;
  Json generation;
  bool error = false;
};

Rendered render_golden(const std::string& source, const Json& messages, bool generation_prompt,
                       const Json& extra) {
  try {
    const RenderedChat chat = ChatTemplate(source).render(messages, generation_prompt, extra);
    return {chat.text, chat.generation.empty() ? Json::array() : Json(chat.generation)};
  } catch (const UserError& e) {
    CHECK(std::string(e.what()).find('\n') == std::string::npos);
    return {e.what(), {}, true};
  }
}

}  // namespace

TEST_CASE("templates of the model families render as transformers renders them") {
  const Json file = golden_json("renderings.json");
  size_t texts = 0;
  for (const Json& want : file["cases"]) {
    const std::string name = want["template"].get<std::string>();
    const Json& chat = file["chats"][want["chat"].get<size_t>()];
    CAPTURE(name);
    CAPTURE(want["chat"].get<int>());
    const Rendered got = render_golden(read_file(test_file(kFolder + name)), chat["messages"],
                                       chat["generation_prompt"].get<bool>(), chat["extra"]);
    if (want.contains("error")) {
      CHECK_MESSAGE(got.error, got.text);
      continue;
    }
    CHECK(got.text == want["text"].get<std::string>());
    CHECK(got.generation == want["generation"]);
    ++texts;
  }
  CHECK(texts > 150);
}

TEST_CASE("expressions, filters and white space do what Jinja does") {
  const Json file = golden_json("snippets.json");
  for (const Json& want : file["cases"]) {
    const std::string source = want["template"].get<std::string>();
    CAPTURE(source);
    const Rendered got = render_golden(source, Json::array(), false, file["values"]);
    CHECK_MESSAGE(got.error == want.contains("error"), got.text);
    if (!got.error && want.contains("text")) CHECK(got.text == want["text"].get<std::string>());
  }
}
