#include "task/distill/config.h"

#include <c10/core/ScalarType.h>
#include <fmt/core.h>

#include "model/load.h"
#include "train/config.h"
#include "train/plan.h"

namespace temper {

void TeacherEntry::fields(FieldVisitor& v) {
  v.field("path", path, {.help = "a Hugging Face model folder", .required = true, .path = true});
  v.field("dtype", dtype,
          {.help = "of its weights and products; auto: the student's compute dtype",
           .choices = {"auto", "bf16", "f32"}});
}

void OneAnswer::fields(FieldVisitor& v) {
  v.field("max_batch", max_batch, {.help = "sequences decoded together", .min = 1, .max = 4096});
  SamplingOptions::fields(v);
}

void DistillTask::fields(FieldVisitor& v) {
  v.section("rollout", rollout, "sampling from the student");
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

void DistillTask::check_run(const RunConfig&, std::vector<std::string>& problems) const {
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
    if (rollout.temperature != 1 || rollout.truncates() || rollout.penalises() || rollout.constrains())
      problem(
          fmt::format("rollout: \"{}\" is a policy gradient of the student's own distribution; sample at "
                      "temperature 1 without truncation, penalties or a constraint",
                      algorithm_name));
  }
}

void DistillTask::resolve(RunConfig& config) {
  for (TeacherEntry& teacher : teachers) {
    if (teacher.dtype == "auto") teacher.dtype = config.model.dtype;
  }
}

TaskMemory DistillTask::memory(const RunConfig& config, const PlanShapes&) const {
  TaskMemory out;
  for (const TeacherEntry& teacher : teachers) {
    out.teachers +=
        read_model_config(teacher.path).parameter_count() *
        static_cast<int64_t>(c10::elementSize(make_precision(teacher.dtype, config.device).compute));
  }
  return out;
}

std::string DistillTask::method() const {
  return method_text(objective::distill_registry(), algorithm_name);
}

}  // namespace temper
