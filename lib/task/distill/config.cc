#include "task/distill/config.h"

#include <fmt/core.h>

namespace temper {

void TeacherEntry::fields(FieldVisitor& v) {
  v.field("path", path, {.help = "a Hugging Face model folder", .required = true, .path = true});
  v.field("dtype", dtype,
          {.help = "of its weights and products; auto: the student's compute dtype",
           .choices = {"auto", "bf16", "f32"}});
}

void DistillConfig::fields(FieldVisitor& v) {
  v.list("teachers", teachers,
         "models whose distributions are learnt; several become the mean of their logits");
  v.field("teacher_cache", cache,
          {.help = "a teacher's drawn tokens, written by temper-generate --teacher-cache; for sampled_kd",
           .path = true});
  v.field("on_policy_share", on_policy_share,
          {.help = "probability that a step learns from the student's own samples instead of the data's "
                   "completions (lambda of GKD)",
           .min = 0,
           .max = 1});
  v.choice("algorithm", "name", algorithm, algorithm_name, objective::distill_registry(), "the divergence");
}

void DistillConfig::check(std::vector<std::string>& problems, const SamplingOptions& sampling) const {
  using Source = objective::DistillSource;
  if (algorithm == nullptr) return;
  const Source source = algorithm->source();
  const auto problem = [&](std::string text) { problems.push_back(std::move(text)); };
  if (teachers.empty() && source != Source::kCache)
    problem("teachers: distillation needs at least one, such as {\"path\": \"models/teacher\"}");
  if (cache.empty() && source == Source::kCache) {
    problem(
        fmt::format("teacher_cache: \"{}\" learns from a file that temper-generate --teacher-cache writes",
                    algorithm_name));
  }
  if (!cache.empty() && source != Source::kCache) {
    problem(
        fmt::format("teacher_cache: it holds drawn tokens, which serve \"sampled_kd\"; \"{}\" needs whole "
                    "distributions",
                    algorithm_name));
  }
  if (on_policy_share > 0 && source == Source::kCache)
    problem("on_policy_share: the cache knows the data's completions only, not the student's own samples");
  if (source == Source::kOwnSamples) {
    if (on_policy_share > 0)
      problem(
          fmt::format("on_policy_share: \"{}\" learns from own samples alone; leave it out", algorithm_name));
    if (sampling.temperature != 1 || sampling.truncates() || sampling.penalises())
      problem(
          fmt::format("rollout: \"{}\" is a policy gradient of the student's own distribution; sample at "
                      "temperature 1 without truncation or penalties",
                      algorithm_name));
  }
}

void DistillConfig::resolve(const std::string& dtype) {
  for (TeacherEntry& teacher : teachers) {
    if (teacher.dtype == "auto") teacher.dtype = dtype;
  }
}

}  // namespace temper
