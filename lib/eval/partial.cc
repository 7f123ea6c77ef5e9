#include "eval/partial.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/json.h"
#include "base/output.h"

namespace temper {
namespace {

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string short_dump(const Json& value) {
  return value.is_discarded() ? "none" : dump_line(value).substr(0, 60);
}

// The first setting in which two differ, as a line's middle; "": none.
std::string difference(const Json& was, const Json& is) {
  const Json old_flat = was.flatten(), new_flat = is.flatten();
  const auto name = [](std::string path) {
    std::replace(path.begin(), path.end(), '/', '.');
    return path.substr(1);
  };
  for (const auto& [path, value] : new_flat.items()) {
    const auto old = old_flat.find(path);
    if (old == old_flat.end() || *old != value)
      return fmt::format("{} was {}, is {}", name(path), old == old_flat.end() ? "none" : short_dump(*old),
                         short_dump(value));
  }
  for (const auto& [path, value] : old_flat.items())
    if (!new_flat.contains(path)) return fmt::format("{} was {}, is none", name(path), short_dump(value));
  return "";
}

}  // namespace

PartialCompletions::PartialCompletions(const std::string& output, const Json& settings)
    : path_(output_target(output).path + ".partial") {
  uint64_t whole = 0;  // bytes of lines that have ended
  if (fs::exists(path_)) {
    const std::string text = read_file(path_);
    if (!text.empty() && text.rfind("{\"settings\":", 0) != 0)
      user_error("{}: not the beginnings of an evaluation; remove the file, or give another --output", path_);
    bool begun = false;
    for (size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
      try {
        const Json line = parse_json(text.substr(at, end - at), path_);
        if (!begun) {
          const std::string other = difference(line.at("settings"), settings);
          if (!other.empty())
            user_error(
                "{}: an evaluation that was stopped, with other settings: {}; give the same ones to go on, "
                "another --output, or remove the file",
                path_, other);
          begun = true;
        } else {
          std::vector<Completion> samples;
          for (const Json& sample : line.at("completions")) samples.push_back(completion_from_json(sample));
          done_[{line.at("part"), line.at("request")}] = std::move(samples);
        }
      } catch (const Json::exception&) {
        user_error("{}: not the beginnings of an evaluation; remove the file, or give another --output",
                   path_);
      }
      whole = end + 1;
    }
  }
  writer_ = std::make_unique<LineWriter>(path_);
  writer_->truncate_to(whole);
  if (whole == 0) writer_->write(dump_line({{"settings", settings}}));
}

const std::vector<Completion>* PartialCompletions::find(int64_t part, uint64_t request) const {
  const auto found = done_.find({part, request});
  return found == done_.end() ? nullptr : &found->second;
}

void PartialCompletions::add(int64_t part, uint64_t request, const std::vector<Completion>& samples) {
  Json list = Json::array();
  for (const Completion& c : samples) list.push_back(to_json(c));
  writer_->write(dump_line({{"part", part}, {"request", request}, {"completions", list}}));
  if (now_s() - synced_s_ < 1) return;
  writer_->sync();
  synced_s_ = now_s();
}

void PartialCompletions::remove() {
  writer_.reset();
  std::error_code ignored;
  fs::remove(path_, ignored);
}

std::vector<std::vector<Completion>> generate_missing(
    const std::vector<GenerateRequest>& requests, PartialCompletions* partial, int64_t part,
    const std::function<std::vector<std::vector<Completion>>(const std::vector<GenerateRequest>&,
                                                             const EndedRequest&)>& run) {
  std::vector<std::vector<Completion>> out(requests.size());
  std::vector<GenerateRequest> missing;
  std::vector<size_t> places;
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto* found = partial == nullptr ? nullptr : partial->find(part, requests[i].stream_index);
    if (found != nullptr) {
      out[i] = *found;
      continue;
    }
    missing.push_back(requests[i]);
    places.push_back(i);
  }
  if (missing.empty()) return out;
  auto completions = run(missing, [&](size_t place, const std::vector<Completion>& samples) {
    if (partial != nullptr) partial->add(part, missing[place].stream_index, samples);
  });
  for (size_t i = 0; i < places.size(); ++i) out[places[i]] = std::move(completions[i]);
  return out;
}

Json to_json(const Completion& c) {
  Json out = {{"ids", c.ids},
              {"finish", static_cast<int>(c.finish)},
              {"text", c.text},
              {"raw_text", c.raw_text},
              {"turns", Json::array()}};
  for (const Turn& turn : c.turns) out["turns"].push_back(to_json(turn));
  if (c.conversation) out["conversation"] = to_json(*c.conversation);
  return out;
}

Completion completion_from_json(const Json& json) {
  Completion out;
  out.ids = json.at("ids").get<std::vector<int64_t>>();
  out.finish = static_cast<FinishReason>(json.at("finish").get<int>());
  out.text = json.at("text").get<std::string>();
  out.raw_text = json.at("raw_text").get<std::string>();
  for (const Json& turn : json.at("turns")) out.turns.push_back(turn_from_json(turn));
  if (json.contains("conversation")) out.conversation = conversation_from_json(json["conversation"]);
  return out;
}

}  // namespace temper
