#include "env/http_counterpart.h"

#include "base/error.h"
#include "reward/item_json.h"

namespace temper {
namespace {

constexpr int64_t kSilent =
    5;  // questions without an answer, after which a server that never gave one is given up

}  // namespace

std::optional<Json> HttpCounterpart::ask(Json body, int64_t) {
  Json line = {{"id", next_id_++}};
  line.update(body);
  const HttpAnswer answer = client_.post(dump_line(line), stop_.get_token());
  if (answer.cause == HttpAnswer::Cause::kInterrupted) user_error("{}: interrupted", name());
  if (answer.status == 401 || answer.status == 403 || answer.status == 404)
    user_error("{}: {}", name(), answer.why);
  if (answer.ok()) {
    try {
      bool nan = false;
      Json json = parse_outside_json(answer.body, nan);
      if (json.is_object() && !nan) {
        answered_ = true;
        return json;
      }
    } catch (const UserError&) {
    }
  }
  if (!answered_ && ++silent_ >= kSilent) {
    user_error("{}: {} questions and no answer, the last because {}", name(), kSilent,
               answer.ok() ? "it was not a JSON object: " + client_.quoted(answer.body) : answer.why);
  }
  return std::nullopt;
}

void HttpCounterpart::tell(Json body, int64_t) {
  client_.post(dump_line(body), stop_.get_token());
}

}  // namespace temper
